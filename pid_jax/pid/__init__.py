"""Redundancy measures, one a file."""
