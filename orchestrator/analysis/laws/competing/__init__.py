"""Competing laws of tau_mem: with and without a floor, with and without an architectural line."""
