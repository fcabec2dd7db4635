"""How one curve becomes a time: crossings, criteria and their names."""
