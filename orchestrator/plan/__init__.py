"""The plan: the grid minus what the store has."""
