"""Fewer columns: PCA, and what stands before it."""
