"""Layer 3: executes runs. Entry point, claims, signals, checkpoints; reads a cluster's environment, nothing more."""
