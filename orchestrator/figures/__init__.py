"""Figures, one module per plot."""
