"""Networks, and their parameter counts."""
