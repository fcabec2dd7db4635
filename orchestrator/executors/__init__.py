"""One module a back-end; each hands run directories to the worker's entry point."""
