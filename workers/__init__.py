"""Layer 3: executes runs. Entry point, claims, signals, checkpoints.

Of a cluster it knows only the environment variables.
"""
