"""The frozen description of a run: its settings, the rules between them, its id."""
