"""`pid-extract`: the command line."""
