"""The training loop and the things that it advances."""
