"""Replicates of decompositions: of sample covariances of a Gaussian model, and of rows drawn again."""

from collections.abc import Iterator, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from pid_jax.bias.sampling import sample_covariances
from pid_jax.decompose.covariances import COPIES
from pid_jax.decompose.pid import solve_pid
from pid_jax.estimate.latents import estimate_reduced
from pid_jax.estimate.samples import reduce_variables
from pid_jax.gaussian.channels import Channels, joint_covariance
from pid_jax.gaussian.range import groups_on_range, is_singular
from pid_jax.gaussian.status import Status
from pid_jax.gaussian.wishart import WhiteFactors, numpy_generator
from pid_jax.inference.weighted import weighted_covariances
from pid_jax.pid.atoms import PIDAtoms, PIDQuantities, compose_atoms, quantities_of
from pid_jax.pid.measure import Redundancy, Unique
from pid_jax.pid.model import find_typical, sampled_amounts
from pid_jax.pid.registry import measure_of
from pid_jax.runtime.devices import current_layout, map_problems, one_each, over_devices
from pid_jax.runtime.precision import double_precision
from pid_jax.runtime.progress import Progress, no_progress
from pid_jax.runtime.threads import one_blas_thread
from pid_jax.settings.estimate import PIDSpec

# Draws for the search of the model whose samples look like the data.
SEARCH_DRAWS = 50
# Arrays as large as the weights of a block of replicates that exist at a time.
COPIES_OF_WEIGHTS = 3


def gaussian_replicates(
    cov: np.ndarray,
    dims: tuple[int, int, int],
    samples: int,
    redundancy: Redundancy,
    resamples: int,
    key: jax.Array,
    progress: Progress,
) -> PIDAtoms:
    """Decompose sample covariances of the Gaussians among whose samples those (problems, D, D) at hand are typical.

    Singular ones are drawn on their range; where both sources together have infinite information the Gaussian is that
    with this very covariance. All problems use the same white noise.

    Returns:
        Atoms (resamples, problems) in nats, as biased as those of samples are.
    """
    for_search, for_draws = jax.random.split(key)
    size = cov.shape[-1]
    with double_precision(), one_blas_thread(size):
        groups = list(_channels_of(cov, dims, samples, redundancy, for_search))
        plain = np.setdiff1d(np.arange(len(cov)), np.concatenate([rows for rows, _ in groups] or [[]]))
        factors, parts, done = WhiteFactors(for_draws, size, samples - 1), [], 0
        # Problems with channels are decomposed one at a time, the others all at once.
        for count in blocks_within(current_layout().budget_bytes, resamples, max(1, len(plain)), size):
            drawn = factors.draw(count)
            found = np.full((4, count, len(cov)), np.nan)  # atoms in the order of their fields
            for rows, channels in groups:
                found[:, :, rows] = _decompose_models(channels, drawn, samples, redundancy)
            if plain.size:
                found[:, :, plain] = _decompose_drawn(cov[plain], drawn, samples, dims, redundancy)
            parts.append(found)
            done += count
            progress(done, resamples)
    return _as_atoms(np.concatenate(parts, axis=1))


def _channels_of(
    cov: np.ndarray, dims: tuple[int, int, int], samples: int, redundancy: Redundancy, key: jax.Array
) -> Iterator[tuple[np.ndarray, Channels]]:
    """Yield rows and their typical channels: all regular problems, then singular ones whose ranges are alike."""
    singular = is_singular(cov)
    regular = np.flatnonzero(~singular)
    if regular.size:
        yield regular, typical_channels(cov[regular], dims, samples, key)
    places = np.flatnonzero(singular)
    places = places[solve_pid(cov[places], dims, redundancy).status == Status.OK] if places.size else places
    for rows, restricted, ranks, shared in groups_on_range(cov[places], dims, redundancy.rank_cut):
        if min(ranks):
            yield places[rows], typical_channels(restricted, ranks, samples, key, shared)


def row_replicates(
    latents: np.ndarray,
    dims: tuple[int, int, int],
    redundancy: Redundancy,
    resamples: int,
    block_length: int,
    key: jax.Array,
    progress: Progress,
) -> PIDAtoms:
    """Decompose the covariances of rows drawn with replacement, alone or in blocks, the same for all problems.

    Returns:
        Atoms (resamples, problems) in nats, as biased as those of samples are.
    """
    samples = latents.shape[1]
    generator = numpy_generator(key)
    counts = np.stack([draw_counts(generator, samples, block_length) for _ in range(resamples)])
    return weighted_replicates(latents, dims, redundancy, counts, progress)


def weighted_replicates(
    latents: np.ndarray,
    dims: tuple[int, int, int],
    redundancy: Redundancy,
    weights: Float[np.ndarray, "resamples n"],
    progress: Progress,
) -> PIDAtoms:
    """Decompose the covariances of rows with weights, n in total for each replicate, such as how often each was drawn.

    Returns:
        Atoms (resamples, problems) in nats, as biased as those of samples are.
    """
    problems, samples, size = latents.shape
    resamples = len(weights)
    centered = latents - latents.mean(axis=1, keepdims=True)
    parts, done = [], 0
    free = current_layout().budget_bytes - centered.nbytes
    for count in blocks_within(free, resamples, problems, size, 8 * COPIES_OF_WEIGHTS * samples):
        cov = weighted_covariances(centered, weights[done : done + count])
        parts.append(np.stack(jax.tree.leaves(solve_pid(cov, dims, redundancy).atoms)).swapaxes(1, 2))
        done += count
        progress(done, resamples)
    return _as_atoms(np.concatenate(parts, axis=1))


def refitted_replicates(
    drawn: Iterator[tuple[Sequence[np.ndarray], jax.Array]], spec: PIDSpec, resamples: int, progress: Progress
) -> PIDQuantities:
    """Decompose samples that were drawn again, with every stage fitted anew by the key that comes with them."""
    found = []
    for done in range(1, resamples + 1):
        (source_1, source_2, target), key = next(drawn)
        reduced, _, rest = reduce_variables(source_1, source_2, target, spec, key)
        (estimate,) = estimate_reduced(reduced, spec, (spec.redundancy,), rest, no_progress, is_checked=False)
        found.append(jax.tree.map(np.ravel, quantities_of(estimate.atoms, estimate.information)))
        progress(done, resamples)
    return jax.tree.map(lambda *parts: np.stack(parts), *found)


def draw_counts(generator: np.random.Generator, samples: int, block_length: int) -> Float[np.ndarray, "n"]:
    """Draw how often each of n rows is in a replicate of n rows."""
    starts = generator.integers(samples, size=-(-samples // block_length))
    rows = (starts[:, None] + np.arange(block_length)).ravel()[:samples] % samples
    return np.bincount(rows, minlength=samples).astype(np.float64)


def _as_atoms(values: np.ndarray) -> PIDAtoms:
    return PIDAtoms(redundancy=values[0], unique_1=values[1], unique_2=values[2], synergy=values[3])


def blocks_within(
    budget_bytes: float, resamples: int, problems: int, size: int, more_bytes: float = 0
) -> Iterator[int]:
    """Divide replicates into blocks of one length, so that few programs are compiled, and a rest; yield their lengths.

    Each replicate takes `more_bytes` in addition to what its `problems`, decomposed at once, take.
    """
    most = int(max(1, budget_bytes // (8 * COPIES * problems * size**2 + more_bytes)))
    yield from (min(most, resamples - first) for first in range(0, resamples, most))


def typical_channels(
    cov: np.ndarray, dims: tuple[int, int, int], samples: int, key: jax.Array, shared: int = 0
) -> Channels:
    """Find the Gaussians among whose samples sample covariances are typical; to be called in double precision.

    The covariances (problems, D, D) have full rank but for the leading coordinates of source_2, as many as `shared`,
    that are linear functions of source_1. All problems use the same white noise.
    """
    whites = WhiteFactors(key, cov.shape[-1], samples - 1).draw(SEARCH_DRAWS)
    # One problem after another: a program for all would be compiled anew for every number of problems.
    find = partial(_find_channels, freedom=samples - 1.0, whites=whites, dims=dims, shared=shared)
    return map_problems(find, cov, is_one_each=True)


@partial(jax.jit, static_argnames=("dims", "shared", "mesh"))
def _find_channels(
    cov: Float[Array, "1 D D"],
    *,
    freedom: Float[Array, ""],
    whites: Float[Array, "draws D D"],
    dims: tuple[int, int, int],
    shared: int,
    mesh: Mesh | None,
) -> Channels:
    return over_devices(one_each(lambda one: find_typical(one, dims, freedom, whites, shared).channels), mesh)(cov)


def model_covariances(channels: Channels) -> np.ndarray:
    """Return the covariances (problems, D, D) of channels; to be called in double precision."""
    return np.asarray(jax.jit(jax.vmap(joint_covariance))(channels))


def _decompose_models(
    channels: Channels, whites: np.ndarray, samples: int, redundancy: Redundancy
) -> Float[np.ndarray, "4 draws problems"]:
    """Decompose samples of models: by their informations and contrasts where these decide the atoms, else in full."""
    unique = measure_of(redundancy).unique
    if unique is not None:
        program = partial(_replicate, whites=whites, unique=unique)
        return np.moveaxis(map_problems(program, channels, is_one_each=True), 0, -1)
    (d1, dt), d2 = channels.gain_1.shape[1:], channels.gain_2.shape[1]
    own = whites[:, : d1 + d2 + dt, : d1 + d2 + dt]
    models = model_covariances(channels)[:, None]
    each = [_decompose_drawn(one, own, samples, (d1, d2, dt), redundancy) for one in models]
    return np.concatenate(each, axis=-1)


def _decompose_drawn(
    cov: np.ndarray, whites: np.ndarray, samples: int, dims: tuple[int, int, int], redundancy: Redundancy
) -> Float[np.ndarray, "4 draws problems"]:
    drawn = sample_covariances(whites / np.sqrt(samples - 1), cov)
    return np.stack(jax.tree.leaves(solve_pid(drawn, dims, redundancy).atoms))


@partial(jax.jit, static_argnames=("unique", "mesh"))
def _replicate(
    channels: Channels, *, whites: Float[Array, "draws D D"], unique: Unique, mesh: Mesh | None
) -> Float[Array, "1 4 draws"]:
    def one(channels: Channels) -> Float[Array, "4 draws"]:
        information, ratios = sampled_amounts(channels, whites)
        return jnp.stack(jax.tree.leaves(compose_atoms(information, unique(information, ratios))))

    return over_devices(one_each(one), mesh)(channels)
