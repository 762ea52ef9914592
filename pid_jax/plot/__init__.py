"""Figures of a study: trajectories, shares, knockout and the two measures side by side."""

from pid_jax.plot.files import save_figures
from pid_jax.plot.knockout import plot_knockout
from pid_jax.plot.measures import plot_measures
from pid_jax.plot.shares import plot_shares
from pid_jax.plot.trajectories import plot_trajectories

__all__ = ["plot_knockout", "plot_measures", "plot_shares", "plot_trajectories", "save_figures"]
