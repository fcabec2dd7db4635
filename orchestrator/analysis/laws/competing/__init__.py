"""Laws of tau_mem that compete for the same runs: with and without a floor, with and without an architectural line."""
