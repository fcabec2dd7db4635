"""Statistics, independent of runs: bootstrap, censored regression, posteriors."""
