"""Decompositions under a null hypothesis: of rows that were permuted so that it holds."""

from collections.abc import Callable, Iterator

import jax
import numpy as np
from jaxtyping import Float, Int

from pid_jax.decompose.pid import solve_quantities
from pid_jax.gaussian.joint import block_slices
from pid_jax.inference.replicates import blocks_within
from pid_jax.pid.atoms import PIDQuantities
from pid_jax.pid.measure import Redundancy
from pid_jax.runtime.by_type import by_type
from pid_jax.runtime.devices import current_layout
from pid_jax.runtime.progress import Progress
from pid_jax.runtime.threads import one_blas_thread
from pid_jax.settings.inference import ConditionalIndependence, Independence, Null

# Directions of a variable with less than this part of its largest variance do not exist.
RANK_CUT = 1e-12
# Arrays as large as all latents that exist at a time.
ROW_COPIES = 4

Permuted = Callable[[Int[np.ndarray, "n"]], Float[np.ndarray, "B dt d"]]
"""The covariance of the target with some sources after the rows were permuted."""
Fill = Callable[[Float[np.ndarray, "B D D"], Int[np.ndarray, "n"]], None]
"""Writes what a permutation changes into covariances."""


def permute(latents: Float[np.ndarray, "B n D"], dims: tuple[int, int, int], null: Null) -> Fill:
    """Permute latents so that a null hypothesis holds."""
    at_1, at_2, target = block_slices(dims)
    centered = latents - latents.mean(axis=1, keepdims=True)
    if by_type("null", null, {ConditionalIndependence: True, Independence: False}):
        assert isinstance(null, ConditionalIndependence)
        at, other = (at_1, at_2) if null.source == 1 else (at_2, at_1)
        of = permute_rest(centered[..., at], centered[..., other], centered[..., target])
    else:
        at = slice(0, target.start)
        of = _permute_target(centered[..., at], centered[..., target])

    def fill(replicate: Float[np.ndarray, "B D D"], order: Int[np.ndarray, "n"]) -> None:
        cross = of(order)
        replicate[:, target, at], replicate[:, at, target] = cross, np.swapaxes(cross, -1, -2)

    return fill


def permuted_quantities(
    cov: Float[np.ndarray, "B D D"],
    dims: tuple[int, int, int],
    redundancy: Redundancy,
    fill: Fill,
    rows: Iterator[Int[np.ndarray, "n"]],
    resamples: int,
    latent_bytes: int,
    progress: Progress,
) -> PIDQuantities:
    """Decompose covariances in which permutations have replaced some blocks, as biased as samples are.

    All problems have the same permutations, so that they stay as dependent on each other as they are.

    Returns:
        Atoms and informations (resamples, problems) in nats.
    """
    parts, done = [], 0
    free = current_layout().budget_bytes - ROW_COPIES * latent_bytes
    for count in blocks_within(free, resamples, *cov.shape[:2]):
        replicates = np.repeat(cov[None], count, axis=0)
        with one_blas_thread(sum(dims)):
            for one in replicates:
                fill(one, next(rows))
        parts.append(solve_quantities(replicates, dims, redundancy))
        done += count
        progress(done, resamples)
    return jax.tree.map(lambda *some: np.concatenate(some), *parts)


def draw_permutations(
    generator: np.random.Generator, samples: int, block_length: int = 1
) -> Iterator[Int[np.ndarray, "n"]]:
    """Draw permutations of n rows, or of blocks of consecutive rows that begin at a row drawn at random."""
    count = -(-samples // block_length)
    while True:
        order = generator.permutation(count)
        rows = (order[:, None] * block_length + np.arange(block_length)).ravel()
        yield (rows[rows < samples] + generator.integers(samples)) % samples


def _permute_target(sources: np.ndarray, target: np.ndarray) -> Permuted:
    scaled = sources / (target.shape[1] - 1)
    return lambda rows: np.swapaxes(target[:, rows], -1, -2) @ scaled


def permute_rest(source: np.ndarray, other: np.ndarray, target: np.ndarray) -> Permuted:
    """Permute what `other` does not predict of `source`.

    In white coordinates the rest has orthonormal columns F, and W stands for `other`. Permuted columns π F are made
    independent of `other` and orthonormal again, by (π F − W Wᵀ π F) M with M⁻² = I − (Wᵀ π F)ᵀ (Wᵀ π F); what they
    share with the target is then Eᵀ π F M, with E the rest of the target.
    """
    freedom = source.shape[1] - 1
    white, _ = whiten_rows(other, np.linalg.norm(other, axis=(-2, -1)))
    (rest, rest_of_target), (predicted, predicted_of_target) = zip(
        *(split_rows(white, one) for one in (source, target)), strict=True
    )
    columns, root = whiten_rows(rest, np.linalg.norm(source, axis=(-2, -1)))
    both = np.concatenate([np.swapaxes(white, -1, -2), np.swapaxes(rest_of_target, -1, -2)], axis=1)
    by_other = np.swapaxes(predicted_of_target, -1, -2) @ predicted
    size = white.shape[-1]

    def cross(rows: Int[np.ndarray, "n"]) -> Float[np.ndarray, "B dt d"]:
        products = both @ columns[:, rows]
        along, with_target = products[:, :size], products[:, size:]
        return (by_other + with_target @ orthonormalizer(along) @ root) / freedom

    return cross


def orthonormalizer(along: Float[np.ndarray, "B k d"]) -> Float[np.ndarray, "B d d"]:
    """Compute M with M⁻² = I − AᵀA, which makes columns orthonormal again after A of them was taken away."""
    left, turn = np.linalg.eigh(np.eye(along.shape[-1]) - np.swapaxes(along, -1, -2) @ along)
    return (turn / np.sqrt(left)[:, None, :]) @ np.swapaxes(turn, -1, -2)


def split_rows(white: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what orthonormal columns do not predict of values, and the coefficients of what they do."""
    coefficients = np.swapaxes(white, -1, -2) @ values
    return values - white @ coefficients, coefficients


def whiten_rows(values: Float[np.ndarray, "B n d"], size: Float[np.ndarray, "B"]) -> tuple[np.ndarray, np.ndarray]:
    """Find orthonormal columns F and a root A with values = F A; directions that are tiny next to `size` are zero."""
    square, vectors = np.linalg.eigh(np.swapaxes(values, -1, -2) @ values)
    length = np.sqrt(np.maximum(square, 0))
    exists = length > np.sqrt(RANK_CUT) * size[:, None]
    inverse = np.where(exists, 1 / np.where(exists, length, 1), 0)
    columns = values @ (vectors * inverse[:, None, :])
    return columns, np.where(exists, length, 0)[:, :, None] * np.swapaxes(vectors, -1, -2)
