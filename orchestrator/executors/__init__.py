"""One module per back-end; each passes run directories to the worker's entry point."""
