"""Bias and intervals of estimated decompositions: by models whose samples look like the data, or by replicates."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float
from scipy.special import ndtri

from pid_jax.bias.rank_errors import RankErrors
from pid_jax.decompose.covariances import put_rows
from pid_jax.decompose.pid import solve_pid
from pid_jax.decompose.result import ATOMS, INFORMATION
from pid_jax.gaussian.information import Information
from pid_jax.gaussian.linalg import symmetric_eigen
from pid_jax.gaussian.range import groups_on_range, information_bias_on_range, is_singular
from pid_jax.gaussian.status import Status
from pid_jax.gaussian.wishart import WhiteFactors
from pid_jax.pid.atoms import PIDAtoms, PIDSolution, compose_atoms
from pid_jax.pid.measure import Calibrate, Calibration, Redundancy
from pid_jax.pid.registry import measure_of
from pid_jax.runtime.by_type import by_type
from pid_jax.runtime.devices import map_problems, one_each, over_devices
from pid_jax.runtime.precision import double_precision
from pid_jax.runtime.threads import one_blas_thread
from pid_jax.settings.estimate import BiasCorrection, IndirectInference, ParametricBootstrap

# Memory for the covariances that are decomposed at a time, which takes up to 20 times as much, and for the white noise
# that all models share.
BUDGET_BYTES, NOISE_BYTES = 2**26, 2**30
FEWEST_DRAWS = 20
# Intervals hold the truth with this probability where sampling is the only error.
INTERVAL_LEVEL = 0.9
Amounts = tuple[PIDAtoms, Information]


@dataclass(frozen=True, kw_only=True)
class Corrected(PIDSolution):
    """A decomposition without its estimated bias.

    Attributes:
        bias: Bias of the atoms that was taken off.
        lower: Lower ends of the intervals of the atoms.
        upper: Upper ends.
    """

    bias: PIDAtoms
    lower: PIDAtoms
    upper: PIDAtoms


def check_correction(redundancy: Redundancy, correction: BiasCorrection) -> None:
    """Refuse a correction of the bias that is not defined for a measure."""
    measure = measure_of(redundancy)
    if isinstance(correction, IndirectInference) and measure.calibrate is None:
        raise ValueError(
            f"bias_correction=IndirectInference() needs the bias of a measure to be calibrated, which that of "
            f"{measure.label} is not: use ParametricBootstrap() or NoCorrection() with redundancy={redundancy!r}."
        )


def sampling_errors(
    found: PIDSolution,
    cov: np.ndarray,
    dims: tuple[int, int, int],
    samples: int,
    redundancy: Redundancy,
    correction: ParametricBootstrap | IndirectInference,
    key: jax.Array,
    level: float = INTERVAL_LEVEL,
) -> Calibration:
    """Find bias and intervals of level `level` of the decompositions found from sample covariances (..., D, D).

    Singular covariances are corrected on their range, and have the plain bootstrap with either method where the
    information of both sources is infinite. All problems use the same white noise.
    """
    check_correction(redundancy, correction)
    leading, flat = cov.shape[:-2], cov.reshape(-1, *cov.shape[-2:])
    each = jax.tree.map(np.ravel, found)
    options: dict[str, Any] = {"dims": dims, "samples": samples, "redundancy": redundancy, "draws": correction.draws}
    options |= {"key": key, "level": level}
    if by_type("bias_correction", correction, {ParametricBootstrap: True, IndirectInference: False}):
        errors = _bootstrap(each, flat, **options)
    else:
        errors = _calibrate(flat, **options)
        rows = np.flatnonzero(is_singular(flat) | (each.status == Status.INFINITE_INFORMATION))
        if rows.size:
            on_range = _calibrate_on_range(jax.tree.map(lambda x: x[rows], each), flat[rows], **options)
            errors = jax.tree.map(partial(put_rows, rows), errors, on_range)
    return jax.tree.map(lambda x: x.reshape(leading), errors)


def subtract_sampling(found: PIDSolution, errors: Calibration) -> Corrected:
    """Take off the bias of sampling."""
    atoms = jax.tree.map(np.subtract, found.atoms, errors.bias)
    return Corrected(
        atoms=atoms,
        information=jax.tree.map(np.subtract, found.information, errors.information_bias),
        status=found.status,
        gap=found.gap,
        bias=errors.bias,
        lower=jax.tree.map(np.minimum, errors.lower, atoms),  # up to rounding they are
        upper=jax.tree.map(np.maximum, errors.upper, atoms),
    )


def subtract_fit(
    corrected: Corrected, rows: np.ndarray, first: Amounts, second: Amounts | None, share: float
) -> Corrected:
    """Take off what fits did to some problems beyond sampling.

    All corrections are linear, so all identities between atoms and informations stay.

    Args:
        corrected: Decompositions without the bias of sampling.
        rows: The problems whose variables were fitted.
        first: By how much their atoms and informations read high because of the fit.
        second: The same by a simpler model. How far both are apart says how much the model matters: the intervals reach
            that much farther to both sides. Without it nothing is known of the error of the fit, and the intervals are
            NaN.
        share: Part of the bias taken off that the simpler model says.
    """
    other = first if second is None else second
    atoms, information = jax.tree.map(lambda one, two: one + share * (two - one), first, other)
    apart = jax.tree.map(lambda one, two: np.nan if second is None else np.abs(one - two), first[0], other[0])
    return replace(
        corrected,
        **_corrected_by(corrected, rows, atoms, information),
        lower=jax.tree.map(lambda x, off, reach: _add_to(rows, x, -off - reach), corrected.lower, atoms, apart),
        upper=jax.tree.map(lambda x, off, reach: _add_to(rows, x, reach - off), corrected.upper, atoms, apart),
    )


def subtract_ranks(corrected: Corrected, rows: np.ndarray, errors: RankErrors, level: float) -> Corrected:
    """Take off what ranks did to some problems beyond sampling, and widen their intervals of `level` by its scatter."""
    quantile = float(ndtri(0.5 + 0.5 * level))
    atoms = PIDAtoms(**{name: getattr(errors.bias, name) for name in ATOMS})
    information = Information(**{name: getattr(errors.bias, name) for name in INFORMATION})
    reach = PIDAtoms(**{name: quantile * getattr(errors.deviations, name).std(axis=0) for name in ATOMS})

    def end(value: np.ndarray, end: np.ndarray, bias: np.ndarray, more: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # of infinite amounts
            far = end - value
            wider = np.sign(far[rows]) * (np.hypot(far[rows], more) - np.abs(far[rows]))
            return _add_to(rows, end, wider - bias)

    return replace(
        corrected,
        **_corrected_by(corrected, rows, atoms, information),
        lower=jax.tree.map(end, corrected.atoms, corrected.lower, atoms, reach),
        upper=jax.tree.map(end, corrected.atoms, corrected.upper, atoms, reach),
    )


def _corrected_by(corrected: Corrected, rows: np.ndarray, atoms: PIDAtoms, information: Information) -> dict[str, Any]:
    """Take off more bias of some problems; return atoms, informations and all bias by the names of their fields."""
    found = (corrected.atoms, corrected.information)
    left = jax.tree.map(lambda all_, some: _add_to(rows, all_, -some), found, (atoms, information))
    return {
        "atoms": left[0],
        "information": left[1],
        "bias": jax.tree.map(partial(_add_to, rows), corrected.bias, atoms),
    }


def mean_over_draws(cov: np.ndarray, dims: tuple[int, ...], redundancy: Redundancy) -> PIDSolution:
    """Decompose replicates of covariances (draws, ..., D, D), and average."""
    return jax.tree.map(lambda value: value.mean(axis=0), solve_pid(cov, dims, redundancy))


def wishart_moments(
    cov: np.ndarray, dims: tuple[int, ...], samples: int, redundancy: Redundancy, draws: int, key: jax.Array
) -> tuple[PIDSolution, PIDAtoms]:
    """Decompose sample covariances of n Gaussian samples with covariances (..., D, D); mean, and spread of the atoms.

    All problems use the same white noise.
    """
    leading, size = cov.shape[:-2], cov.shape[-1]
    flat = cov.reshape(-1, size, size)
    block = max(1, min(draws, BUDGET_BYTES // (flat.nbytes + 1)))
    factors = WhiteFactors(key, size, samples - 1)
    total, squares = None, None
    for first in range(0, draws, block):
        whites = factors.draw(min(block, draws - first)) / np.sqrt(samples - 1)
        drawn = sample_covariances(whites, flat)
        solved = solve_pid(drawn, dims, redundancy)
        total, squares = _add(total, solved), _add(squares, jax.tree.map(np.square, solved.atoms))
    mean, square = (jax.tree.map(lambda x: (x / draws).reshape(leading), added) for added in (total, squares))
    with np.errstate(invalid="ignore"):
        spread = jax.tree.map(
            lambda sq, m: np.where(np.isinf(m), 0, np.sqrt(np.maximum(sq - m**2, 0))), square, mean.atoms
        )
    return mean, spread


def _calibrate(
    cov: np.ndarray,
    *,
    dims: tuple[int, int, int],
    samples: int,
    redundancy: Redundancy,
    draws: int,
    key: jax.Array,
    level: float,
    shared: int = 0,
) -> Calibration:
    size, calibrate = cov.shape[-1], measure_of(redundancy).calibrate
    assert calibrate is not None
    draws = max(FEWEST_DRAWS, min(draws, NOISE_BYTES // (8 * size**2)))
    with double_precision(), one_blas_thread(size):
        whites = jnp.asarray(WhiteFactors(key, size, samples - 1).draw(draws))
        options = {"freedom": float(samples - 1), "whites": whites, "level": level}
        program = partial(_calibrate_one, **options, dims=dims, calibrate=calibrate, shared=shared)
        # One after another: one program for all would do the same, and be compiled anew for every number of problems.
        return map_problems(program, cov, is_one_each=True)


@partial(jax.jit, static_argnames=("dims", "calibrate", "shared", "mesh"))
def _calibrate_one(
    cov: Float[Array, "1 D D"],
    *,
    freedom: Float[Array, ""],
    whites: Float[Array, "draws D D"],
    level: Float[Array, ""],
    dims: tuple[int, int, int],
    calibrate: Calibrate,
    shared: int,
    mesh: Mesh | None,
) -> Calibration:
    return over_devices(one_each(lambda one: calibrate(one, dims, freedom, whites, level, shared)), mesh)(cov)


def _calibrate_on_range(
    found: PIDSolution, cov: np.ndarray, *, dims: tuple[int, int, int], redundancy: Redundancy, **options: Any
) -> Calibration:
    """Calibrate singular covariances in coordinates that span their ranges; bootstrap what is singular beyond that."""
    atoms, information = jax.tree.map(lambda x: np.full(len(x), np.nan), (found.atoms, found.information))
    errors = Calibration(bias=atoms, information_bias=information, lower=atoms, upper=atoms)
    regular = np.flatnonzero(found.status == Status.OK)
    for places, restricted, ranks, shared in groups_on_range(cov[regular], dims, redundancy.rank_cut):
        if min(ranks):
            some = _calibrate(restricted, dims=ranks, shared=shared, redundancy=redundancy, **options)
            errors = jax.tree.map(partial(put_rows, regular[places]), errors, some)
    rest = np.flatnonzero(~np.isfinite(np.stack(jax.tree.leaves(errors))).all(axis=0))
    if not rest.size:
        return errors
    some = jax.tree.map(lambda x: x[rest], found)
    plain = _bootstrap(some, cov[rest], dims=dims, redundancy=redundancy, **options)
    return jax.tree.map(partial(put_rows, rest), errors, plain)


def _bootstrap(
    found: PIDSolution,
    cov: np.ndarray,
    *,
    dims: tuple[int, int, int],
    samples: int,
    redundancy: Redundancy,
    draws: int,
    key: jax.Array,
    level: float,
) -> Calibration:
    """Take the bias of U_1 + U_2 from replicates, that of informations exactly; intervals are normal."""
    mean, spread = wishart_moments(cov, dims, samples, redundancy, draws, key)
    exact = information_bias_on_range(cov, dims, samples - 1.0, redundancy.rank_cut, is_singular(cov))
    information_bias = jax.tree.map(lambda off, value: np.where(np.isinf(value), 0, off), exact, found.information)
    drawn, plain = (one.atoms.unique_1 + one.atoms.unique_2 for one in (mean, found))
    bias = compose_atoms(information_bias, drawn - plain)
    corrected, quantile = jax.tree.map(np.subtract, found.atoms, bias), float(ndtri(0.5 + 0.5 * level))
    return Calibration(
        bias=bias,
        information_bias=information_bias,
        lower=jax.tree.map(lambda value, sd: value - quantile * sd, corrected, spread),
        upper=jax.tree.map(lambda value, sd: value + quantile * sd, corrected, spread),
    )


def _add_to(rows: np.ndarray, all_: np.ndarray, some: np.ndarray) -> np.ndarray:
    changed = all_.copy()
    changed[rows] += some
    return changed


def _add(total: Any, solved: Any) -> Any:
    summed = jax.tree.map(lambda value: value.sum(axis=0), solved)
    return summed if total is None else jax.tree.map(np.add, total, summed)


def sample_covariances(whites: np.ndarray, cov: np.ndarray) -> np.ndarray:
    """Make sample covariances (draws, B, D, D) from factors of white ones (draws, D, D) and covariances (B, D, D)."""
    with double_precision():
        return np.asarray(_sample_covariances(whites, cov))


@jax.jit
def _sample_covariances(whites: Float[Array, "draws D D"], cov: Float[Array, "B D D"]) -> Float[Array, "draws B D D"]:
    root = jax.vmap(_square_root)(cov)
    return jax.vmap(lambda white: _quadratic(root @ white))(whites)


def _square_root(cov: Float[Array, "D D"]) -> Float[Array, "D D"]:
    """Find A with A Aᵀ = cov, also for singular covariances, in which what has no variance stays exactly without."""
    values, vectors = symmetric_eigen(cov)
    root = vectors * jnp.sqrt(jnp.maximum(values, 0))
    # Rounding would leave such a variable 1e-20 of variance, and all of that correlated with another one's.
    return jnp.where(jnp.diagonal(cov)[:, None] > 0, root, 0)


def _quadratic(root: Float[Array, "B D D"]) -> Float[Array, "B D D"]:
    return root @ jnp.swapaxes(root, -1, -2)
