"""Bootstrap intervals of the atoms, for all leading axes at once."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from pid_jax.bias.sampling import check_correction
from pid_jax.decompose.dataset import Result
from pid_jax.decompose.result import ATOMS, PIDEstimate
from pid_jax.estimate.after_ranks import with_rank_errors
from pid_jax.estimate.gaussianize import Latents
from pid_jax.estimate.latents import (
    estimate_latents,
    leave_out,
    map_to_latents,
)
from pid_jax.estimate.samples import check_spec, check_variables, reduce_variables
from pid_jax.inference.arviz import draws_as_tree
from pid_jax.inference.influence import acceleration_of_gaussians, acceleration_of_rows
from pid_jax.inference.intervals import check_enough_draws, deviations, interval_from, note_repeated
from pid_jax.inference.neighbors import choose_length
from pid_jax.inference.replicates import gaussian_replicates, refitted_replicates, row_replicates
from pid_jax.pid.atoms import PIDAtoms
from pid_jax.pid.measure import Redundancy
from pid_jax.runtime.by_type import by_type
from pid_jax.runtime.checks import check_key
from pid_jax.runtime.devices import use_devices
from pid_jax.runtime.progress import Progress, no_progress, part_of
from pid_jax.settings.estimate import (
    IndirectInference,
    NoCorrection,
    ParametricBootstrap,
    PIDSpec,
    SampleCovariance,
    spec_to_dict,
)
from pid_jax.settings.inference import Basic, BCa, Block, Calibrated, Interval, Kind, Pairs, Parametric, Percentile

if TYPE_CHECKING:
    import xarray as xr

_SO = "intervals are too short; use kind=Block(length) with blocks many times longer than the dependence lasts"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PIDBootstrap(
    Result,
    amounts=("estimate", "lower", "upper", "standard_error", "replicates"),
    axes={"replicates": ("resample", ...)},
):
    """Atoms with bootstrap intervals. Every array has the leading axes of the input.

    Attributes:
        estimate: Atoms without bias, as in `estimated`.
        lower: Lower ends of the intervals.
        upper: Upper ends.
        standard_error: Standard deviations of the replicates.
        replicates: Atoms of all replicates (resamples, ...), without bias.
        estimated: All that `estimate_pid` returns, its intervals at this level.
        level: Probability that an interval is to hold the truth.
        notes: What speaks against the intervals, in plain words.
        settings: What was chosen, JSON-ready.
        unit: "nats" or "bits".
    """

    estimate: PIDAtoms
    lower: PIDAtoms
    upper: PIDAtoms
    standard_error: PIDAtoms
    replicates: PIDAtoms
    estimated: PIDEstimate
    level: float
    notes: tuple[str, ...]
    settings: Mapping[str, Any]
    unit: str = "nats"

    @property
    def status(self) -> np.ndarray:
        """`Status` of each problem, that of `estimated`."""
        return self.estimated.status

    def to_arviz(self, axes: Sequence[str] | None = None) -> "xr.DataTree":
        """Return the replicates as the group "bootstrap" of a tree, as ArviZ 1 reads it with group="bootstrap".

        Each atom is (chain, draw, ...), with one chain.

        Args:
            axes: Names of the leading axes; their own, or "batch_0", "batch_1", ..., if not given.

        Raises:
            ValueError: If the names do not fit.
        """
        return draws_as_tree("bootstrap", vars(self.replicates), 1, self._name_axes(axes, self.status.ndim), self.unit)

    def __repr__(self) -> str:
        """Show the estimate with these intervals instead of its own."""
        kind, interval = (self.settings[name]["method"] for name in ("kind", "interval"))
        head = f"{kind} bootstrap, {self.settings['resamples']} replicates, {self.level:.0%} intervals ({interval})"
        notes = (*self.estimated.notes, *self.notes)
        shown = dataclasses.replace(self.estimated, lower=self.lower, upper=self.upper, notes=notes)
        return f"{head} of {shown!r}"


def bootstrap_pid(
    source_1: ArrayLike,
    source_2: ArrayLike,
    target: ArrayLike,
    *,
    spec: PIDSpec | None = None,
    key: jax.Array,
    resamples: int = 1000,
    level: float = 0.95,
    kind: Kind | None = None,
    interval: Interval | None = None,
    progress: Progress = no_progress,
) -> PIDBootstrap:
    """Decompose what two sources tell about a target, from samples, and say how sure every atom is.

    Args:
        source_1: Samples (..., n, p1).
        source_2: Samples (..., n, p2), row i from the same sample as row i of `source_1`.
        target: Samples (..., n, pt). Any variable may leave out the leading axes: it is then the same for all.
        spec: The settings of every stage, `PIDSpec()` if not given.
        key: A JAX random key.
        resamples: Number of replicates.
        level: Probability that an interval is to hold the truth.
        kind: `Parametric()` (default), `Pairs()`, or `Block(length)` for rows that depend on their neighbors.
        interval: `Calibrated()` (default with `Parametric()` and `IndirectInference()`), `BCa()` (default otherwise),
            `Basic()` or `Percentile()`.
        progress: Called with steps done and all there are.

    Returns:
        Atoms without bias, the ends of their intervals, standard errors and replicates, in nats.

    Raises:
        TypeError: For settings of the wrong kind, and as `estimate_pid`.
        ValueError: For too few resamples for the level, a shrunk covariance, blocks longer than the data, and as
            `estimate_pid`.

    Example:
        >>> import jax
        >>> import numpy as np
        >>> from pid_jax import bootstrap_pid
        >>> rng = np.random.default_rng(0)
        >>> target = rng.normal(size=(1000, 2))
        >>> source_1 = target + rng.normal(size=(1000, 2))
        >>> source_2 = target[:, :1] + rng.normal(size=(1000, 2))
        >>> bootstrap = bootstrap_pid(source_1, source_2, target, key=jax.random.key(0), level=0.9, resamples=200)
        >>> print(f"unique_1 between {bootstrap.lower.unique_1:.1f} and {bootstrap.upper.unique_1:.1f} nats")
        unique_1 between 0.3 and 0.4 nats

    Not guaranteed: intervals know of sampling (and, with `Calibrated` or `refit`, of the fit of flows), not of
    dependence that is not Gaussian behind the maps.
    """
    spec = check_spec(spec)
    check_key(key)
    kind = Parametric() if kind is None else kind
    if interval is None:
        is_calibrated = isinstance(kind, Parametric) and isinstance(spec.bias_correction, IndirectInference)
        interval = Calibrated() if is_calibrated else BCa()
    _check(spec, kind, interval, resamples, level)
    with use_devices():
        for_estimate, for_replicates = jax.random.split(key)
        reduced, leading, rest = reduce_variables(source_1, source_2, target, spec, for_estimate)
        latents, for_bias = map_to_latents(reduced, spec, rest, part_of(progress, 0, 2))
        length, notes = choose_length(latents.values, kind if isinstance(kind, Block) else None, _SO)
        (found,) = estimate_latents(latents, reduced, spec, (spec.redundancy,), for_bias, level=level)
        replicates = _replicates(
            latents,
            found,
            (source_1, source_2, target),
            kind=kind,
            block_length=length,
            spec=spec,
            resamples=resamples,
            key=for_replicates,
            progress=part_of(progress, 1, 2),
        )
        if not (isinstance(kind, Pairs) and kind.refit):  # which ranks every replicate by itself
            for_ranks = jax.random.fold_in(for_replicates, 1)
            replicates = with_rank_errors(replicates, found, latents, spec.redundancy, for_ranks)
    errors = jax.tree.map(deviations, replicates, found.atoms)
    repeated = note_repeated(jax.tree.leaves(replicates), jax.tree.leaves(found.atoms))
    lower, upper = found.lower, found.upper
    if not isinstance(interval, Calibrated):
        lower, upper = _intervals(found, errors, level, kind, interval, latents.values, spec.redundancy)
    assert lower is not None
    assert upper is not None
    result = PIDBootstrap(
        estimate=found.atoms,
        lower=lower,
        upper=upper,
        standard_error=jax.tree.map(lambda x: x.std(axis=0), errors),
        replicates=jax.tree.map(lambda value, error: value + error, found.atoms, errors),
        estimated=found,
        level=level,
        notes=(*notes, *repeated),
        settings={
            "spec": spec_to_dict(spec),
            "kind": spec_to_dict(kind),
            "interval": spec_to_dict(interval),
            "resamples": int(resamples),
            "level": level,
        },
    )
    return leave_out(result, reduced).on(leading)


def _replicates(
    latents: Latents,
    found: PIDEstimate,
    variables: Sequence[ArrayLike],
    *,
    kind: Kind,
    block_length: int,
    spec: PIDSpec,
    resamples: int,
    key: jax.Array,
    progress: Progress,
) -> PIDAtoms:
    samples = latents.values.shape[1]
    if by_type("kind", kind, {Parametric: True, Pairs: False, Block: False}):
        return gaussian_replicates(found.cov, found.dims, samples, spec.redundancy, resamples, key, progress)
    if isinstance(kind, Pairs) and kind.refit:
        plain = dataclasses.replace(spec, bias_correction=NoCorrection())
        found_again = refitted_replicates(_drawn_again(variables, resamples, key), plain, resamples, progress)
        return PIDAtoms(**{name: getattr(found_again, name) for name in ATOMS})
    return row_replicates(latents.values, found.dims, spec.redundancy, resamples, block_length, key, progress)


def _drawn_again(
    variables: Sequence[ArrayLike], resamples: int, key: jax.Array
) -> Iterator[tuple[list[np.ndarray], jax.Array]]:
    """Draw rows with replacement."""
    arrays = check_variables(*variables)
    samples = arrays[0].shape[-2]
    for one in jax.random.split(key, resamples):
        for_rows, for_fit = jax.random.split(one)
        rows = np.asarray(jax.random.choice(for_rows, samples, (samples,)))
        yield [x[..., rows, :] for x in arrays], for_fit


def _intervals(
    found: PIDEstimate,
    errors: PIDAtoms,
    level: float,
    kind: Kind,
    interval: Percentile | Basic | BCa,
    latents: np.ndarray,
    redundancy: Redundancy,
) -> tuple[PIDAtoms, PIDAtoms]:
    if isinstance(interval, BCa):
        if isinstance(kind, Parametric):
            acceleration = acceleration_of_gaussians(found.cov, found.dims, redundancy, latents.shape[1])
        else:
            acceleration = acceleration_of_rows(found.cov, found.dims, redundancy, latents)
    else:
        acceleration = jax.tree.map(np.zeros_like, found.atoms)
    pairs = {
        name: interval_from(
            getattr(found.atoms, name), getattr(errors, name), level, interval, getattr(acceleration, name)
        )
        for name in ATOMS
    }
    lower, upper = (PIDAtoms(**{name: ends[side] for name, ends in pairs.items()}) for side in (0, 1))
    return lower, upper


def _check(spec: PIDSpec, kind: object, interval: object, resamples: int, level: float) -> None:
    if not isinstance(kind, (Parametric, Pairs, Block)):
        raise TypeError(f"kind needs Parametric(), Pairs() or Block(length), got {kind!r}.")
    if not isinstance(interval, (Calibrated, Percentile, Basic, BCa)):
        raise TypeError(f"interval needs Calibrated(), Percentile(), Basic() or BCa(), got {interval!r}.")
    if isinstance(interval, Calibrated) and not isinstance(kind, Parametric):
        raise ValueError(
            f"interval=Calibrated() needs kind=Parametric(), got {kind!r}: it compares samples of Gaussian models with "
            "the data; use BCa() for rows."
        )
    if isinstance(interval, Calibrated) and isinstance(spec.bias_correction, ParametricBootstrap):
        raise ValueError(
            "interval=Calibrated() needs bias_correction=IndirectInference(), got ParametricBootstrap(), which looks "
            "for no models; use BCa()."
        )
    if not isinstance(spec.covariance, SampleCovariance) or isinstance(spec.bias_correction, NoCorrection):
        raise ValueError(
            "spec needs covariance=SampleCovariance() and a bias_correction, got "
            f"{type(spec.covariance).__name__} and {type(spec.bias_correction).__name__}: without them atoms are "
            "biased, and intervals around them hold something else."
        )
    check_correction(spec.redundancy, spec.bias_correction)
    check_enough_draws("resamples", resamples, level)
