"""Objectives of diffusion training and their samplers."""
