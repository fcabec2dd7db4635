"""Runs as the resolver sees them: results, curves, conditions, crossings."""
