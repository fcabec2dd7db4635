"""Which store, which sweep, which runs a command means, and what failed there."""
