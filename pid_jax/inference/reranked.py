"""Permutations of what one source does not predict of the other, before ranks are taken, where both are close."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from pid_jax.gaussian.joint import block_slices
from pid_jax.inference.permuted import (
    ROW_COPIES,
    Fill,
    orthonormalizer,
    permuted_quantities,
    solve_replicates,
    split_rows,
    whiten_rows,
)
from pid_jax.pid.atoms import PIDQuantities
from pid_jax.pid.measure import Redundancy
from pid_jax.runtime.devices import current_layout
from pid_jax.runtime.progress import Progress, no_progress
from pid_jax.settings.inference import ConditionalIndependence

# Ranks of n samples are off by a few parts in √n, the same function of a coordinate for all samples. Sources are close
# where the best predicted direction of one leaves less than this many parts in n of its variance to chance.
CLOSE = 20.0


@dataclass(frozen=True, kw_only=True)
class Closeness:
    """How close both sources are, and what is permuted for that reason.

    Attributes:
        before_ranks: Problems whose sources are close, and as linear before the ranks as after them.
        in_doubt: Problems whose sources are close after the ranks alone.
    """

    before_ranks: Bool[np.ndarray, "B"]
    in_doubt: Bool[np.ndarray, "B"]


def find_close(
    latents: Float[np.ndarray, "B n D"],
    scores: Sequence[np.ndarray],
    dims: tuple[int, int, int],
    is_ranked: Bool[np.ndarray, "B"],
) -> Closeness:
    """Find problems in which errors of ranks are as large as what one source does not predict of the other.

    Args:
        latents: Latents of all variables.
        scores: Scores of each variable before the ranks (B or 1, n, d).
        dims: (d1, d2, dt).
        is_ranked: Which problems have latents made by ranks.
    """
    at_1, at_2, _ = block_slices(dims)
    unexplained, linear = _relation(latents[..., at_1], latents[..., at_2])
    _, linear_before = _relation(scores[0], scores[1])
    is_close = is_ranked & (unexplained < CLOSE / latents.shape[1])
    is_linear = np.broadcast_to(linear_before, is_close.shape) >= linear
    return Closeness(before_ranks=is_close & is_linear, in_doubt=is_close & ~is_linear)


def rest_quantities(
    latents: Float[np.ndarray, "B n D"],
    scores: Sequence[np.ndarray],
    cov: Float[np.ndarray, "B D D"],
    dims: tuple[int, int, int],
    null: ConditionalIndependence,
    redundancy: Redundancy,
    rows: Iterator[Int[np.ndarray, "n"]],
    resamples: int,
    before_ranks: Bool[np.ndarray, "B"],
    progress: Progress,
) -> PIDQuantities:
    """Decompose replicates under conditional independence; see `permuted_quantities`.

    Args:
        latents: Latents of all variables.
        scores: Scores of each variable before the ranks (B or 1, n, d).
        cov: Sample covariances of the latents.
        dims: (d1, d2, dt).
        null: The null.
        redundancy: The measure.
        rows: Permutations.
        resamples: How many to take.
        before_ranks: Problems in which scores are permuted, and ranked again.
        progress: Called with replicates done and all there are.
    """
    orders = [next(rows) for _ in range(resamples)]
    parts: list[tuple[np.ndarray, PIDQuantities]] = []
    plain, ranked = np.flatnonzero(~before_ranks), np.flatnonzero(before_ranks)
    if plain.size:
        some = (latents[plain], cov[plain], dims, null, redundancy, iter(orders), resamples)
        parts.append((plain, permuted_quantities(*some, no_progress if ranked.size else progress)))
    if ranked.size:
        chosen = [x if len(x) == 1 else x[ranked] for x in scores]
        fill = _permute_and_rank(latents[ranked], chosen, dims, null)
        budget = current_layout().budget_bytes - ROW_COPIES * latents[ranked].nbytes
        found = solve_replicates(cov[ranked], dims, redundancy, fill, iter(orders), resamples, budget, progress)
        parts.append((ranked, found))
    places = np.argsort(np.concatenate([one for one, _ in parts]))
    return jax.tree.map(lambda *some: np.concatenate(some, axis=1)[:, places], *(found for _, found in parts))


def _permute_and_rank(
    latents: np.ndarray, scores: Sequence[np.ndarray], dims: tuple[int, int, int], null: ConditionalIndependence
) -> Fill:
    """Permute the rest of a source before the ranks, and give what comes out the latents that belong to its ranks.

    The rest is made independent of the other source again as in `permute_rest`. Latents after a permutation are those
    of the source in another order, column by column, so that they are off from the scores of a population as those of
    the samples are.
    """
    blocks = block_slices(dims)
    mine, other = (0, 1) if null.source == 1 else (1, 0)
    centered = latents - latents.mean(axis=1, keepdims=True)
    source, given = (x - x.mean(axis=1, keepdims=True) for x in (scores[mine], scores[other]))
    white, _ = whiten_rows(given, np.linalg.norm(given, axis=(-2, -1)))
    rest, _ = split_rows(white, source)
    columns, root = whiten_rows(rest, np.linalg.norm(source, axis=(-2, -1)))
    predicted, turned = source - rest, np.swapaxes(white, -1, -2)
    at, freedom = blocks[mine], latents.shape[1] - 1
    ordered = np.sort(centered[..., at], axis=1)
    remaining = np.concatenate([np.arange(0, at.start), np.arange(at.stop, sum(dims))])
    rest_of_latents = np.swapaxes(centered[..., remaining], -1, -2) / freedom

    def fill(replicate: Float[np.ndarray, "B D D"], rows: Int[np.ndarray, "n"]) -> None:
        drawn = columns[:, rows]
        along = turned @ drawn
        changed = predicted + (drawn - white @ along) @ orthonormalizer(along) @ root
        moved = np.empty_like(ordered)
        order = np.broadcast_to(np.argsort(changed, axis=1), ordered.shape)
        np.put_along_axis(moved, order, ordered, axis=1)
        replicate[:, at, at] = np.swapaxes(moved, -1, -2) @ moved / freedom
        cross = rest_of_latents @ moved
        replicate[:, remaining, at] = cross
        replicate[:, at, remaining] = np.swapaxes(cross, -1, -2)

    return fill


def _relation(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the part of variance unexplained in the best predicted direction, and the information of both in nats."""
    whites = []
    for values in (one, other):
        centered = values - values.mean(axis=1, keepdims=True)
        whites.append(whiten_rows(centered, np.linalg.norm(centered, axis=(-2, -1)))[0])
    square = np.linalg.svd(np.swapaxes(whites[0], -1, -2) @ whites[1], compute_uv=False) ** 2
    left = np.maximum(1 - square, np.finfo(float).eps)
    return left[..., 0], -0.5 * np.log(left).sum(axis=-1)
