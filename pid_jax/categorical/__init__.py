"""Decomposition of the information of two sources about a categorical answer, from samples."""
