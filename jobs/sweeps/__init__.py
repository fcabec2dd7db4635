"""The sweep files that ship with tausweep; `tausweep run quickstart` finds them by name."""
