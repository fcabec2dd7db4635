"""Measurements of a run at one training step."""
