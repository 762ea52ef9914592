"""`pid-jax`: the command line."""
