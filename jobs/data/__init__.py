"""Training data as arrays: images, vectors, subsets, batches."""
