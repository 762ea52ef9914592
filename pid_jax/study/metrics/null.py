"""Shares of the baseline among those of random systems, or tables, of the same information."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import jax
import numpy as np
import xarray as xr

from pid_jax.decompose.result import ATOMS
from pid_jax.inference.normalized_class_shares import place_answers
from pid_jax.inference.normalized_shares import FEWEST_REPLICATES, shares_of
from pid_jax.inference.null_shares import (
    DRAWS,
    SEED,
    Positions,
    interval_of,
    levels_of,
    null_shares,
    position_of,
)
from pid_jax.inference.null_systems import SystemSpectra
from pid_jax.inference.null_tables import NullTables, null_tables
from pid_jax.pid.measure import Redundancy
from pid_jax.pid.registry import MEASURES
from pid_jax.runtime.devices import use_devices
from pid_jax.study.metrics.draws import ModelDraws
from pid_jax.study.metrics.intervals import ENDS, shared_bias, with_ends
from pid_jax.study.null_spectra import DIMS, SPECTRA
from pid_jax.study.results import LEVEL

# As many replicates are placed among null systems.
REPLICATES = 100
# Between these percentiles a share is what chance gives.
LOW, HIGH = 0.05, 0.95
RANGE = ("chance_share_lower", "chance_share_upper")
# In the order of `Positions`.
_NAMES = ("share_percentile", "share_above_chance")
# Positions, and both ends of their intervals.
Three = tuple[Positions, Positions, Positions]


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Where shares lie among those of null systems.

    Attributes:
        ends: Positions, and both ends of their intervals.
        null: Shares of null systems at the percentiles `LOW` and `HIGH`, on the first axis.
    """

    ends: Three
    null: np.ndarray


def shares_against_null(results: xr.Dataset, models: Sequence[ModelDraws]) -> xr.Dataset:
    """Compute percentiles of shares, and shares above chance, of every layer of the baseline.

    Args:
        results: A study.
        models: What `read_models` reads of it.

    Returns:
        `share_percentile` and `share_above_chance` (model, task, share, layer) and their means over tasks, with their
        ends; `chance_share_lower` and `chance_share_upper` (model, task, share, layer), between which 90 % of null
        systems are; nothing where a study holds neither spectra nor class probabilities.
    """
    if {*SPECTRA, *DIMS} <= {*results.data_vars}:
        positions = _among_systems
    elif "class_probability" in results:
        positions = _among_tables
    else:
        return xr.Dataset()
    found = [positions(results.isel(model=m, condition=0), model) for m, model in enumerate(models)]
    dims = ("model", "task", "share", "layer")
    ranges = np.stack([one.null for one in found], axis=1)
    data: dict = {name: (dims, values, {"units": "1"}) for name, values in zip(RANGE, ranges, strict=True)}
    for k, name in enumerate(_NAMES):
        ends = [np.stack([end[k] for end in one.ends]) for one in found]
        data |= with_ends(name, dims, np.stack(ends, axis=1), "1")
        mean = np.stack([_over_tasks(one) for one in ends], axis=1)
        data |= with_ends(f"overall_{name}", ("model", "share", "layer"), mean, "1")
    return xr.Dataset(data, coords={"share": list(ATOMS)})


def _over_tasks(ends: np.ndarray) -> np.ndarray:
    """Average positions and ends (3, task, share, layer) over the tasks that have any."""
    known = np.isfinite(ends[0]).any(axis=(1, 2))
    if not known.any():
        return np.full((3, *ends.shape[2:]), np.nan)
    value, count = ends[0, known], known.sum()
    mean, widen = value.mean(axis=0), shared_bias(count) / count
    reach = [widen * np.sqrt(((end[known] - value) ** 2).sum(axis=0)) for end in ends[1:]]
    return np.stack([mean, mean - reach[0], mean + reach[1]])


def _empty(results: xr.Dataset) -> Placed:
    shape = (results.sizes["task"], len(ATOMS), results.sizes["layer"])
    first, second, third = (Positions(np.full(shape, np.nan), np.full(shape, np.nan)) for _ in range(3))
    return Placed(ends=(first, second, third), null=np.full((2, *shape), np.nan))


def _range_of(null: np.ndarray) -> np.ndarray:
    """Return shares of null systems (draw, ...) at the percentiles `LOW` and `HIGH` (2, ...); NaN where not known."""
    known = np.isfinite(null).all(axis=0)
    return np.where(known, np.quantile(np.where(known, null, 0), [LOW, HIGH], axis=0), np.nan)


def _atoms(model: ModelDraws, tasks: np.ndarray) -> np.ndarray:
    """Return the estimate and replicates (draw, task, layer, atom) of some tasks."""
    return np.moveaxis(model.baseline[: 1 + REPLICATES, tasks], 2, -1).astype(float)


def _put(whole: Placed, found: Placed, tasks: np.ndarray, layers: int) -> None:
    """Write what was found of problems (task by layer, atom) to where it belongs."""
    pairs = [pair for ends in zip(whole.ends, found.ends, strict=True) for pair in zip(*ends, strict=True)]
    for target, values in (*pairs, *zip(whole.null, found.null, strict=True)):
        target[tasks, :, :layers] = np.moveaxis(values.reshape(len(tasks), layers, len(ATOMS)), -1, 1)


def _among_systems(results: xr.Dataset, model: ModelDraws) -> Placed:
    """Find positions of one model among Gaussian systems, and the ends of their intervals, (task, share, layer)."""
    whole = _empty(results)
    dims = np.stack([results[name].values for name in DIMS], axis=-1).astype(int)
    for own in np.unique(dims[(dims > 0).all(axis=-1)], axis=0):
        d1, d2, dt = (int(d) for d in own)
        at = np.flatnonzero((dims == own).all(axis=-1))
        atoms = _atoms(model, at)
        layers = atoms.shape[2]
        spectra = _spectra(results.isel(task=at, layer=slice(layers)), (d1, d2, dt))
        flat = atoms.reshape(len(atoms), -1, len(ATOMS))
        _put(whole, place(flat, spectra, (d1, d2, dt), _measure(results)), at, layers)
    return whole


def _among_tables(results: xr.Dataset, model: ModelDraws) -> Placed:
    """Find positions of one model among tables, and the ends of their intervals, (task, share, layer)."""
    whole = _empty(results)
    for task in range(results.sizes["task"]):
        classes = results["class_probability"].values[task]
        if not np.isfinite(classes).all():
            continue
        at = np.array([task])
        atoms = _atoms(model, at)[:, 0]
        null = _tables_of(tuple(classes.tolist()), _measure(results))
        entropy = float(results["target_entropy"].values[task])
        *ends, shares = place_answers(atoms, np.full(atoms.shape[1], entropy), null, LEVEL)
        _put(whole, Placed(ends=(ends[0], ends[1], ends[2]), null=_range_of(shares)), at, atoms.shape[1])
    return whole


@lru_cache(maxsize=64)
def _tables_of(classes: tuple[float, ...], redundancy: Redundancy) -> NullTables:
    """Return the null tables of class probabilities, which models and universes share."""
    return null_tables(classes, redundancy, jax.random.key(SEED))


def place(atoms: np.ndarray, spectra: SystemSpectra, dims: tuple[int, int, int], redundancy: Redundancy) -> Placed:
    """Place the shares of problems among those of null systems.

    Args:
        atoms: Estimate and replicates (draw, problem, atom) in nats.
        spectra: Of all problems.
        dims: (d1, d2, dt).
        redundancy: Settings of the measure.

    Returns:
        Positions and the ends of their intervals, each (problem, atom), and the range of the null; ends are NaN
        without replicates.
    """
    i_12, key = atoms.sum(axis=-1), jax.random.key(SEED)
    has_interval = len(atoms) > FEWEST_REPLICATES
    levels = levels_of(i_12[0], i_12[1:]) if has_interval else i_12[:1]
    with use_devices():
        null = np.stack([null_shares(spectra, one, dims, redundancy, key, DRAWS) for one in levels])
    shares = shares_of(atoms)
    middle = null[len(levels) // 2]
    positions = position_of(shares[0], middle)
    lower = upper = Positions(*(np.full_like(value, np.nan) for value in positions))
    if has_interval:
        lower, upper = interval_of(positions, shares[1:], i_12[1:], levels, null, LEVEL)
    return Placed(ends=(positions, lower, upper), null=_range_of(middle))


def _spectra(results: xr.Dataset, dims: tuple[int, ...]) -> SystemSpectra:
    """Read the spectra of all tasks and layers, one after another."""
    d1, d2, dt = dims
    sizes = dict(zip(SPECTRA, (min(d1, dt), min(d2, dt), min(d1, d2)), strict=True))
    parts = [
        results[name].transpose("task", "layer", SPECTRA[name]).values[..., :size].reshape(-1, size)
        for name, size in sizes.items()
    ]
    return SystemSpectra(gains_1=parts[0], gains_2=parts[1], between=parts[2])


def _measure(results: xr.Dataset) -> Redundancy:
    """Return the settings of the measure that is tested."""
    return MEASURES[str(results.attrs.get("tested_measure", next(iter(MEASURES))))].settings()


def describe_share(share: float, percentile: float, of: str = "the prediction") -> str:
    """Return a share and its position in words.

    "62 % of the prediction, more than in 97 % of random systems of the same size, spectra and information".

    Args:
        share: Share of I_12.
        percentile: Its percentile among null systems, from 0 to 1; NaN if it is not known.
        of: What it is a share of.
    """
    text = f"{100 * share:.0f} % of {of}"
    if not np.isfinite(percentile):
        return text
    is_high = percentile >= 0.5
    part = np.floor(100 * percentile) if is_high else np.floor(100 * (1 - percentile))
    than = f"{'more' if is_high else 'less'} than in {part:.0f} %"
    return f"{text}, {than} of random systems of the same size, spectra and information"


@dataclass(frozen=True, kw_only=True)
class Position:
    """Position of a share among random systems, in the mean over tasks.

    Attributes:
        value: Its percentile, from 0 to 1; NaN if it is not known.
        note: A clause that says so; "" if it is not known.
    """

    value: float = np.nan
    note: str = ""

    @property
    def is_known(self) -> bool:
        """Whether there is a percentile."""
        return bool(np.isfinite(self.value))


def overall_position(results: xr.Dataset, model: int, atom: str, *, at_largest: bool = False) -> Position:
    """Find where a share lies among random systems, in the mean over tasks.

    Args:
        results: A study with metrics.
        model: Number of the model.
        atom: Name of the atom.
        at_largest: Whether at the layer where the share is largest in the mean over tasks; else at the last layer.
    """
    if f"overall_{_NAMES[0]}" not in results:
        return Position()
    layer = int(np.searchsorted(results["layer"].values, results["last_layer"].values[model]))
    if at_largest:
        share = results["layer_share"].isel(model=model).sel(share=atom).values
        known = np.isfinite(share).any(axis=0)
        mean = np.where(known, np.nansum(share, axis=0) / np.maximum(np.isfinite(share).sum(axis=0), 1), -np.inf)
        layer = int(mean.argmax())
    value, lower, upper = (
        float(results[f"overall_{_NAMES[0]}{end}"].isel(model=model, layer=layer).sel(share=atom)) for end in ENDS
    )
    if not np.isfinite(value):
        return Position()
    what = "tables" if "class_probability" in results else "systems of the same size, spectra"
    ends = f" ({lower:.2f} to {upper:.2f})" if np.isfinite(lower) and np.isfinite(upper) else ""
    place = "largest" if at_largest else "final"
    same = "of the same information" if "class_probability" in results else "and information"
    return Position(value=value, note=f"the {place} share is at percentile {value:.2f}{ends} of random {what} {same}")
