"""Hypothesis strategies for problems and systems (needs `pip install hypothesis`)."""

import dataclasses

import numpy as np
from hypothesis import strategies as st

from pid_jax.testing.problems import Problem, apply_maps, linear_map, random_channel, random_readout
from pid_jax.testing.systems import KnownSystem, parallel_channels


def seeds() -> st.SearchStrategy[int]:
    """Seeds of NumPy generators."""
    return st.integers(0, 2**32 - 1)


@st.composite
def problems(draw: st.DrawFn, max_dim: int = 4, target_dim: int | None = None, full_rank: bool = False) -> Problem:
    """Draw a problem with finite information, of mixed dims, rank, condition and signal-to-noise ratio.

    The sources read the target through shared noise, or the target is made from the sources and noise, with gains
    from 0.01 to 10 for each source. Every variable is then embedded by a map of condition up to 100.

    Args:
        draw: Given by Hypothesis.
        max_dim: Largest dim of a variable.
        target_dim: Dim and rank of the target, if it is to be fixed.
        full_rank: Whether every variable has the rank of its dim; otherwise some have less.
    """
    ranks = [draw(st.integers(1, max_dim), label=name) for name in ("rank_1", "rank_2", "rank_t")]
    if target_dim is not None:
        ranks[2] = target_dim
    dims = ranks if full_rank else [draw(st.integers(rank, max_dim), label="dim") for rank in ranks]
    dims = dims if target_dim is None else [*dims[:2], target_dim]
    gain_1, gain_2 = (10.0 ** draw(st.integers(-2, 1), label=name) for name in ("log gain_1", "log gain_2"))
    condition = 10.0 ** draw(st.integers(0, 2), label="log condition")
    family = draw(st.sampled_from([random_channel, random_readout]), label="family")
    rng = np.random.default_rng(draw(seeds(), label="seed"))
    base = family(rng, (ranks[0], ranks[1], ranks[2]), (gain_1, gain_2))
    return apply_maps(base, [linear_map(rng, d, rank, condition) for d, rank in zip(dims, ranks, strict=True)])


@st.composite
def known_systems(draw: st.DrawFn, max_dim: int = 4) -> KnownSystem:
    """Draw parallel channels with signal-to-noise ratios from 0 to 1000, behind a random map of each variable."""
    size = draw(st.integers(1, max_dim), label="dim")
    powers = st.lists(st.sampled_from([0.0, 1e-6, 0.01, 0.5, 1.0, 7.0, 1000.0]), min_size=size, max_size=size)
    correlations = st.lists(st.sampled_from([-0.99, -0.5, 0.0, 0.5, 0.99]), min_size=size, max_size=size)
    system = parallel_channels(draw(powers), draw(powers), draw(correlations))
    rng = np.random.default_rng(draw(seeds(), label="seed"))
    maps = [linear_map(rng, size, size, condition=10.0) for _ in range(3)]
    return dataclasses.replace(system, problem=apply_maps(system.problem, maps))
