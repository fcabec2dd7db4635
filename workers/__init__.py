"""Layer 3: executes runs. Entry point, claims, signals, checkpoints.

Reads a cluster's environment, nothing more.
"""
