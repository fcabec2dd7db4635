"""Distances between generated and held-out images."""
