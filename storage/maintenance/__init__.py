"""Care for a whole store: compaction, verification, transfer to another store."""
