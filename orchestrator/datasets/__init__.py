"""From original images to the arrays that runs train on."""
