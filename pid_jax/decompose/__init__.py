"""Covariances in, typed results out."""
