"""Statistics without a word about runs: bootstrap, censored regression, posteriors."""
