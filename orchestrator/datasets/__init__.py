"""From images as somebody has them to the arrays that runs train on."""
