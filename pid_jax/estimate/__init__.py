"""Samples in, typed results out: reduction, map, covariance, atoms, correction."""
