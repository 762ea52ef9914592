"""Redundancy measures of a Gaussian problem, one a file."""
