"""Samples that do not fit in memory: moments of blocks."""
