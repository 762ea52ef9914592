"""Intervals, tests, comparisons, posteriors and sample sizes."""
