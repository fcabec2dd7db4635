"""Resolves the store, sweep and runs that a command names, and lists failures."""
