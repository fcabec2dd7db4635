"""From tables to a FitResult."""
