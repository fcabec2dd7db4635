"""Layer 2: what a run computes. Spec, data, models, objectives, training and metrics.

Knows no cluster and no path.
"""
