"""How many samples it takes for intervals to be as narrow as wanted."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from pid_jax.bias.rank_errors import rank_errors
from pid_jax.bias.sampling import sample_covariances, sampling_errors
from pid_jax.decompose.dataset import Result
from pid_jax.decompose.pid import solve_pid
from pid_jax.decompose.result import ATOMS, PIDEstimate
from pid_jax.estimate.gaussianize import are_ranked
from pid_jax.gaussian.range import is_singular
from pid_jax.gaussian.wishart import WhiteFactors
from pid_jax.inference.replicates import model_covariances, typical_channels
from pid_jax.pid.atoms import PIDAtoms
from pid_jax.pid.measure import Redundancy
from pid_jax.pid.registry import measure_of
from pid_jax.runtime.checks import check_at_least, check_between, check_key, check_positive_int
from pid_jax.runtime.devices import use_devices
from pid_jax.runtime.precision import double_precision
from pid_jax.runtime.progress import Progress, no_progress
from pid_jax.runtime.threads import one_blas_thread
from pid_jax.settings.estimate import IndirectInference, ParametricBootstrap, spec_from_dict, spec_to_dict

# The first number of samples for each coordinate of all variables, and the step to the next number.
FIRST, STEP = 2, 1.5
# Fewer simulated data sets say little of the share in which an interval is narrow enough.
FEWEST_SIMULATIONS = 10


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SampleSize(Result, amounts=("width", "asked"), axes={"tried": ("size",), "width": ("size", ...)}):
    """Numbers of samples from which on intervals are narrow enough.

    Attributes:
        samples: For each atom the number of samples, with the leading axes of the estimate; infinite where it takes
            more than were tried.
        tried: Numbers of samples that were tried, ascending (k,).
        width: Widths of the intervals there (k, ...); NaN where smaller numbers were enough.
        asked: The width asked for.
        level: Probability that an interval is to hold the truth.
        assurance: Share of data sets in which it is to be narrow enough.
        settings: What was chosen, JSON-ready.
        unit: "nats" or "bits", of the widths.
    """

    samples: PIDAtoms
    tried: np.ndarray
    width: PIDAtoms
    asked: float
    level: float
    assurance: float
    settings: Mapping[str, Any]
    unit: str = "nats"

    def __repr__(self) -> str:
        """Show the numbers of samples."""
        head = f"SampleSize for {self.level:.0%} intervals of {self.asked:.4g} {self.unit} or less"
        lines = [f"{head} in {self.assurance:.0%} of data sets"]
        for name in ATOMS:
            values = np.ravel(getattr(self.samples, name))
            ends = dict.fromkeys((values.min(), values.max()))
            text = (f"more than {self.tried[-1]}" if np.isinf(x) else f"{x:.0f}" for x in ends)
            lines.append(f"  {name:<12}{' to '.join(text)}")
        return "\n".join(lines)


def samples_needed(
    estimate: PIDEstimate,
    *,
    width: float,
    key: jax.Array,
    level: float = 0.95,
    assurance: float = 0.5,
    simulations: int = 40,
    most: int = 100_000,
    progress: Progress = no_progress,
) -> SampleSize:
    """Find the number of samples at which the interval of each atom is as narrow as asked, by simulation.

    Data sets are drawn from the Gaussian whose samples look like those behind the estimate; or from the one that it
    decomposes, if it was made of a covariance without `samples`. Their intervals are those of `estimate_pid` and
    `bootstrap_pid`, for a measure whose bias is not calibrated with `ParametricBootstrap()`.

    Args:
        estimate: That of a pilot study, or `gaussian_pid` of a supposed system.
        width: Upper minus lower end, in the unit of the estimate.
        key: A JAX random key.
        level: Probability that an interval is to hold the truth.
        assurance: Share of data sets in which the interval is to be narrow enough.
        simulations: Data sets for each number of samples that is tried.
        most: Largest number of samples to try.
        progress: Called with steps done and all there may be.

    Returns:
        The numbers of samples, between those that were tried by interpolation, and the widths there.

    Raises:
        TypeError: For what is no estimate or no key.
        ValueError: For a width, level or share that cannot be, too few simulations, a singular covariance, or a `most`
            below twice the dims.

    Example:
        >>> import jax
        >>> from pid_jax import gaussian_pid, samples_needed
        >>> from pid_jax.testing.systems import parallel_channels
        >>> supposed = gaussian_pid(*parallel_channels(snr_1=[3.0, 0.0], snr_2=[1.0, 1.0]).problem)
        >>> needed = samples_needed(supposed, width=0.2, key=jax.random.key(0))
        >>> bool(200 < needed.samples.unique_1 < 500)
        True

    Not guaranteed: the model is as uncertain as the pilot study is, and rows behind maps that were fitted to few
    samples are less Gaussian than those of the simulation.
    """
    _check(estimate, width, key, level, assurance, simulations, most)
    cov, dims = estimate.cov.reshape(-1, *estimate.cov.shape[-2:]), estimate.dims
    redundancy = spec_from_dict(estimate.settings["redundancy"])
    simulate = partial(
        _simulate, dims=dims, redundancy=redundancy, level=level, assurance=assurance, simulations=simulations
    )
    in_nats = width * (math.log(2) if estimate.unit == "bits" else 1)
    numbers = _numbers_to_try(sum(dims), most)
    maps = np.full(len(cov), "") if estimate.gaussianizer is None else np.ravel(estimate.gaussianizer)
    is_ranked = are_ranked(maps)
    with use_devices():
        for_search, for_sets = jax.random.split(key)
        if estimate.samples is not None:
            with double_precision(), one_blas_thread(cov.shape[-1]):
                cov = model_covariances(typical_channels(cov, dims, estimate.samples, for_search))
        tried, found = _try_numbers(simulate, cov, is_ranked, numbers, in_nats, for_sets, progress)
    needed = np.stack([[_crossing(tried, one, in_nats) for one in atom.T] for atom in found])
    return SampleSize(
        samples=_as_atoms(needed, estimate.status.shape),
        tried=tried,
        width=_as_atoms(found * width / in_nats, (len(tried), *estimate.status.shape)),
        asked=width,
        level=level,
        assurance=assurance,
        settings={
            "simulations": int(simulations),
            "most": int(most),
            "redundancy": spec_to_dict(redundancy),
            "pilot_samples": estimate.samples,
        },
        unit=estimate.unit,
        leading_axes=estimate.leading_axes,
    )


def _try_numbers(
    simulate: Callable[..., np.ndarray],
    models: np.ndarray,
    is_ranked: np.ndarray,
    numbers: list[int],
    asked: float,
    key: jax.Array,
    progress: Progress,
) -> tuple[np.ndarray, Float[np.ndarray, "atoms k problems"]]:
    """Simulate more and more samples of each model, until all its intervals are narrow enough."""
    widths, is_open = [], np.ones(len(models), bool)
    for step, samples in enumerate(numbers):
        now = np.full((len(ATOMS), len(models)), np.nan)
        for place in np.flatnonzero(is_open):
            now[:, place] = simulate(models[place], samples, bool(is_ranked[place]), key=jax.random.fold_in(key, step))
        widths.append(now)
        is_open &= ~(now <= asked).all(axis=0)
        progress(step + 1, len(numbers))
        if not is_open.any():
            break
    return np.asarray(numbers[: len(widths)]), np.stack(widths, axis=1)


def _numbers_to_try(size: int, most: int) -> list[int]:
    steps = range(math.ceil(math.log(most / (FIRST * size), STEP)) + 1)
    return list(dict.fromkeys(min(most, math.ceil(FIRST * size * STEP**step)) for step in steps))


def _simulate(
    model: np.ndarray,
    samples: int,
    is_ranked: bool,
    *,
    dims: tuple[int, int, int],
    redundancy: Redundancy,
    level: float,
    assurance: float,
    simulations: int,
    key: jax.Array,
) -> Float[np.ndarray, "atoms"]:
    """Draw data sets, and say how wide the intervals of each atom are in the given share of them."""
    for_sets, for_errors = jax.random.split(key)
    whites = WhiteFactors(for_sets, len(model), samples - 1).draw(simulations)
    drawn = sample_covariances(whites / np.sqrt(samples - 1), model[None])[:, 0]
    plain = solve_pid(drawn, dims, redundancy)
    correction = ParametricBootstrap() if measure_of(redundancy).calibrate is None else IndirectInference()
    wide = []
    # Each with noise of its own: what it adds to the widths would not average out otherwise.
    for place, one in enumerate(jax.random.split(for_errors, simulations)):
        alone = jax.tree.map(lambda x, at=place: x[at], plain)
        errors = sampling_errors(alone, drawn[place], dims, samples, redundancy, correction, one, level)
        wide.append([float(getattr(errors.upper, name) - getattr(errors.lower, name)) for name in ATOMS])
    if is_ranked:
        errors_of_ranks = rank_errors(model[None], samples, dims, redundancy, jax.random.fold_in(key, 1)).deviations
        scatter = np.array([getattr(errors_of_ranks, name).std() for name in ATOMS])
        wide = np.hypot(wide, 2 * ndtri(0.5 + 0.5 * level) * scatter)
    return np.quantile(wide, assurance, axis=0)


def _crossing(tried: np.ndarray, width: np.ndarray, asked: float) -> float:
    """Find where widths that fall like a power of n pass what was asked for; infinity if they do not."""
    known = np.isfinite(width)
    tried, width = tried[known], width[known]
    too_wide = np.flatnonzero(width > asked)
    if not too_wide.size:
        return float(tried[0])
    last = too_wide[-1]
    if last == len(tried) - 1:
        return math.inf
    near = slice(max(0, last - 1), last + 3)  # a few, since each is known from few data sets
    slope, level = np.polyfit(np.log(tried[near]), np.log(width[near]), 1)
    at = (math.log(asked) - level) / slope if slope < 0 else math.log(tried[last + 1])
    return float(math.ceil(np.clip(math.exp(at), *tried[near][[0, -1]])))


def _as_atoms(values: np.ndarray, shape: tuple[int, ...]) -> PIDAtoms:
    return PIDAtoms(**{name: one.reshape(shape) for name, one in zip(ATOMS, values, strict=True)})


def _check(
    estimate: object, width: float, key: object, level: float, assurance: float, simulations: int, most: int
) -> None:
    if not isinstance(estimate, PIDEstimate):
        raise TypeError(f"estimate needs what estimate_pid or gaussian_pid returned, got {type(estimate).__name__}.")
    check_at_least("width", width, 0, is_open=True)
    check_key(key)
    check_between("level", level, 0, 1)
    check_between("assurance", assurance, 0, 1)
    check_positive_int("simulations", simulations)
    if simulations < FEWEST_SIMULATIONS:
        raise ValueError(f"simulations={simulations} are too few: use at least {FEWEST_SIMULATIONS}.")
    check_positive_int("most", most)
    size = sum(estimate.dims)
    if most < FIRST * size:
        raise ValueError(f"most={most} is below {FIRST * size}, twice the dims {estimate.dims}: allow more samples.")
    singular = np.flatnonzero(is_singular(estimate.cov.reshape(-1, size, size)))
    if singular.size:
        raise ValueError(
            f"estimate holds {singular.size} singular covariances, the first at place {singular[0]}: data sets cannot "
            "be drawn from them; reduce further (PCA(dim=...)), or select the others."
        )
