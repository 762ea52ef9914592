"""Decomposition of the information of two sources about a class, from tables of probabilities."""
