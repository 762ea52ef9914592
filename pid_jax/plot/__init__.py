"""Figures of a study: trajectories, shares, knockout and the two measures side by side, one a file."""
