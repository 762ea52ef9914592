"""Decomposition of what two sources tell about a class, from tables of probabilities."""
