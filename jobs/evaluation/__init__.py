"""What is measured of a run at one training step."""
