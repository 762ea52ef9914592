"""Permutations of what one source does not predict of the other, before ranks are taken, where both are close."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from pid_jax.gaussian.joint import block_slices
from pid_jax.inference.permuted import Fill, orthonormalizer, split_rows, whiten_rows
from pid_jax.settings.inference import ConditionalIndependence

# Ranks of n samples are off by a few parts in √n, the same function of a coordinate for all samples. Sources are close
# where the best predicted direction of one leaves less than this many parts in n of its variance to chance.
CLOSE = 20.0


def find_close(
    latents: Float[np.ndarray, "B n D"],
    scores: Sequence[np.ndarray],
    dims: tuple[int, int, int],
    is_ranked: Bool[np.ndarray, "B"],
) -> tuple[Bool[np.ndarray, "B"], Bool[np.ndarray, "B"]]:
    """Find problems in which errors of ranks are as large as what one source does not predict of the other.

    Scores (B or 1, n, d) are those of each variable before the ranks.

    Returns:
        Which problems have sources that are close, and as linear before the ranks as after them; and which have
        sources that are close after the ranks alone.
    """
    at_1, at_2, _ = block_slices(dims)
    unexplained, linear = _relation(latents[..., at_1], latents[..., at_2])
    _, linear_before = _relation(scores[0], scores[1])
    is_close = is_ranked & (unexplained < CLOSE / latents.shape[1])
    is_linear = np.broadcast_to(linear_before, is_close.shape) >= linear
    return is_close & is_linear, is_close & ~is_linear


def permute_and_rank(
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
