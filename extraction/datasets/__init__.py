"""Readers of data sets, one a file; each returns a list of `Sample`."""
