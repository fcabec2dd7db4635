"""What is printed: tables, progress, answers."""
