"""Care for a whole store: compaction, verification, transfer to another store."""

MERGED_RUNS = 32
"""So many runs finish before their parts are merged; fewer would make merged files that are small themselves."""
