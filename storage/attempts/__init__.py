"""Attempts at a run: who executes it, whether that worker lives, and when it is tried again."""
