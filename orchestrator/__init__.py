"""Layer 4: sweep files, plans, executors, status, resolver and figures. Never imports torch at module level."""
