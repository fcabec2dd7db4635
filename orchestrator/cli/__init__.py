"""The command `tausweep`."""
