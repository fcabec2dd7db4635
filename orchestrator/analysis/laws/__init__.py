"""Laws of tau over n and W, the boundary n*(p) and the architectural line."""
