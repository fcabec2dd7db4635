"""The training loop and the trainees that it advances."""
