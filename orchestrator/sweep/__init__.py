"""The sweep file: settings, grid, conditions, resources."""
