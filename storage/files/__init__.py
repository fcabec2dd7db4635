"""Files of the store: how they are published, read and listed, on a disk or an object store."""
