"""From a plan to finished runs: prepare, submit, watch, reconcile; on this machine, SLURM or Ray."""
