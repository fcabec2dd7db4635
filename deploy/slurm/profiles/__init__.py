"""Profiles of SLURM sites that ship with tausweep."""
