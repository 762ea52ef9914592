"""Checks of what callers hand in: every message names the argument, what was wanted, what came and the remedy."""

from collections.abc import Sequence

import jax
import numpy as np
from jax.core import Tracer
from numpy.typing import ArrayLike

from pid_jax.runtime.arrays import row_labels, to_numpy
from pid_jax.runtime.leading import LeadingAxes, join_axis_labels, read_axis_labels

# A column counts as discrete with fewer distinct values than this fraction of the samples, or with one value in more.
DISTINCT_VALUES, COMMON_VALUE = 0.1, 0.1
# Directions with less than this fraction of the largest variance, all columns scaled alike, repeat others.
REDUNDANT_VARIANCE = 1e-10
# Samples for each dimension of all variables together from which on intervals hold as often as they say, see
# docs/certainty.md.
FEWEST_SAMPLES_PER_DIM = 3
FLOAT64_BYTES = 8


def check_float_array(name: str, value: ArrayLike, axes: str, core: str, *, is_samples: bool = False) -> np.ndarray:
    """Return `value` as a float NumPy array: float32 as it is, all else in float64.

    Args:
        name: What the argument is called.
        value: What came.
        axes: The two axes that it must have at least, such as "(..., n, d)".
        core: The function to use under jit, vmap or grad.
        is_samples: Whether an array with one axis holds n samples of one column, and gets the other axis.

    Raises:
        TypeError: For tracers and for anything that is no array of real numbers.
        ValueError: For masked or missing values, too few axes, or no entries.
    """
    array = to_numpy(name, value, core)
    if array.dtype.kind != "f" or array.dtype == np.float16 or array.dtype.itemsize > FLOAT64_BYTES:
        array = array.astype(np.float64)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.ndim == 1 and is_samples:
        array = array[:, None]
    if array.ndim < 2:
        raise ValueError(
            f"{name} must have at least 2 axes, {axes}, got shape {array.shape}: add those that are missing, as in "
            f"{name}[:, None] for one that comes last."
        )
    if array.size == 0:
        raise ValueError(f"{name} is empty (shape {array.shape}): check how it was selected.")
    return array


def check_finite(name: str, array: np.ndarray) -> None:
    """Refuse NaN and infinity, and say where the first one is."""
    bad = ~np.isfinite(array)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{name} holds {int(bad.sum())} values that are NaN or infinite, the first at index {first}: "
            "remove those samples from all three variables, or repair them."
        )


def check_fraction(name: str, value: object) -> None:
    """Refuse what is no number in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise ValueError(f"{name} needs a number in [0, 1), got {value!r}.")


def check_sample_count(value: object) -> None:
    """Refuse what is no number of samples."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1):
        raise ValueError(f"samples needs a whole number of at least 1, or None if unknown, got {value!r}.")


def check_positive_int(name: str, value: object) -> None:
    """Refuse anything but a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} needs a whole number of at least 1, got {value!r}.")


def check_at_least(name: str, value: object, least: float, is_open: bool = False) -> None:
    """Refuse anything but a finite number of at least, or with `is_open` above, some other."""
    number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else np.nan
    if not np.isfinite(number) or number < least or (is_open and number == least):
        raise ValueError(f"{name} needs a number {'above' if is_open else 'of at least'} {least:g}, got {value!r}.")


def check_between(name: str, value: object, low: float, high: float) -> None:
    """Refuse what is no number between two others, ends excluded."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low < value < high:
        raise ValueError(f"{name} needs a number between {low:g} and {high:g}, got {value!r}.")


def check_key(key: object) -> None:
    """Refuse anything but one JAX random key."""
    wanted = "key needs a JAX random key such as jax.random.key(0)"
    if isinstance(key, Tracer):
        raise TypeError(f"{wanted}, got one that is traced: call this function outside jit, vmap and grad.")
    if not isinstance(key, jax.Array) or not jax.numpy.issubdtype(key.dtype, jax.dtypes.prng_key):
        is_data = getattr(key, "dtype", None) == np.uint32 and np.ndim(np.asarray(key)) == 1
        remedy = ": jax.random.wrap_key_data(key) makes one of an old key of jax.random.PRNGKey" if is_data else ""
        raise TypeError(f"{wanted}, got {type(key).__name__}{remedy}.")
    if key.ndim:
        raise TypeError(f"{wanted}, got an array of keys of shape {key.shape}: choose one, as in key[0].")


def check_samples(name: str, value: ArrayLike) -> np.ndarray:
    """Return samples of shape (..., n, d), finite and real; n samples of one number each are one column."""
    array = read_samples(name, value)
    check_finite(name, array)
    return array


def read_samples(name: str, value: ArrayLike) -> np.ndarray:
    """Return samples of shape (..., n, d), which may hold NaN; see `check_samples`."""
    core = "the core functions pid_broja or pid_mmi"
    return check_float_array(name, value, "(..., n, d)", core, is_samples=True)


def check_paired(named: Sequence[tuple[str, np.ndarray]], given: Sequence[object] = ()) -> int:
    """Check that all variables have the same number of samples, and return it.

    Args:
        named: Names and arrays.
        given: What the arrays were made of; if their rows have labels, these must agree.
    """
    (first_name, first), *others = named
    for name, array in others:
        if array.shape[-2] != first.shape[-2]:
            raise ValueError(
                f"{name} has {array.shape[-2]} samples, {first_name} has {first.shape[-2]}; they must be paired: "
                "row i of every variable must come from the same sample."
            )
    check_same_labels([(name, value) for (name, _), value in zip(named, given, strict=False)])
    return first.shape[-2]


def check_same_labels(given: Sequence[tuple[str, object]]) -> None:
    """Refuse frames, series and labeled arrays whose rows do not have the same labels in the same order."""
    labeled = [(name, labels) for name, value in given for labels in row_labels(value)]
    for name, labels in labeled[1:]:
        first_name, first = labeled[0]
        if not labels.equals(first):
            pairs = list(zip(labels, first, strict=False))
            row = next((row for row, (own, other) in enumerate(pairs) if own != other), 0)
            raise ValueError(
                f"{name} and {first_name} have different labels of their rows, such as {pairs[row][0]!r} and "
                f"{pairs[row][1]!r} in row {row}; row i of every variable must come from the same sample. Select the "
                "same labels in the same order from all (pandas .loc, xarray.align), or pass NumPy arrays "
                "if the labels mean nothing."
            )


def check_same_ids(ids: object, samples: int) -> None:
    """Refuse two lists of ids that do not name the same samples in the same order, and name those that differ."""
    if not isinstance(ids, (tuple, list)) or len(ids) != 2:
        raise TypeError(f"ids needs those of the baseline and of the intervention, got {type(ids).__name__}.")
    before, after = (np.asarray(one).ravel().tolist() for one in ids)
    for name, one, other in (("baseline", before, after), ("intervention", after, before)):
        missing = sorted(set(one) - set(other), key=str)
        if missing:
            raise ValueError(
                f"ids do not agree: {len(missing)} are in the {name} only, such as {missing[:3]}; leave out what is "
                "not in both."
            )
        if len(one) != samples:
            raise ValueError(f"ids of the {name} name {len(one)} samples, there are {samples} rows: one id a row.")
        if len(set(one)) < len(one):
            raise ValueError(f"ids of the {name} repeat {_repeated(one)!r}: every row needs an id of its own.")
    for row, (one, other) in enumerate(zip(before, after, strict=True)):
        if one != other:
            raise ValueError(
                f"ids are in different order, first in row {row}: {one!r} in the baseline, {other!r} in the "
                "intervention; sort the rows of both by id."
            )


def _repeated(ids: list) -> object:
    seen: set = set()
    return next(x for x in ids if x in seen or seen.add(x))


def check_leading_axes(named: Sequence[tuple[str, np.ndarray]], given: Sequence[object] = ()) -> LeadingAxes:
    """Check that leading axes are equal or absent, and return them.

    Args:
        named: Names and arrays.
        given: What the arrays were made of; if their leading axes have names and labels, these must agree.
    """
    leading: tuple[int, ...] = ()
    owner = ""
    for name, array in named:
        axes = array.shape[:-2]
        if axes and leading and axes != leading:
            raise ValueError(
                f"{name} has leading axes {axes}, {owner} has {leading}; they must be equal, or left out by a "
                "variable that is the same for all problems."
            )
        if axes and not leading:
            leading, owner = axes, name
    pairs = zip(named, given, strict=False)
    labels = [(name, read_axis_labels(value, array.ndim - 2)) for (name, array), value in pairs]
    return LeadingAxes(shape=leading, labels=join_axis_labels(labels))


def check_not_constant(name: str, array: np.ndarray, whole: bool) -> None:
    """Refuse constant columns, or, with `whole`, a variable that is constant altogether."""
    constant = np.ptp(array, axis=-2) == 0
    bad = constant.all(axis=-1) if whole else constant
    if not bad.any():
        return
    first = tuple(int(i) for i in np.argwhere(bad)[0])
    if whole:
        at = f" in problem {first}" if first else ""
        raise ValueError(f"{name} is constant{at}: it carries no information; leave it out or check how it was made.")
    raise ValueError(
        f"{name} has {int(bad.sum())} constant columns, the first at index {first}: they carry no information; "
        "remove them, or reduce with PCA()."
    )


def check_enough_samples(n: int, dims: tuple[int, int, int]) -> None:
    """Refuse a sample covariance that would be singular, or nearly so."""
    needed = sum(dims) + 2
    if n < needed:
        raise ValueError(
            f"{n} samples are too few for {dims[0]} + {dims[1]} + {dims[2]} dimensions of source_1, source_2 and "
            f"target: the sample covariance needs at least {needed}. Reduce further (PCA(dim=...)), add samples, or "
            "shrink (covariance=OAS() or LedoitWolf())."
        )


def note_few_samples(n: int, dims: tuple[int, int, int]) -> tuple[str, ...]:
    """Return a note where intervals of estimates may hold the truth less often than they say."""
    needed = FEWEST_SAMPLES_PER_DIM * sum(dims)
    if n >= needed:
        return ()
    return (
        f"{n} samples are few for {' + '.join(map(str, dims))} dimensions: 90 % intervals held the truth in 72 to "
        f"100 % of trials; use at least {needed} samples, or fewer dimensions (PCA(dim=...))",
    )


def is_discrete(array: np.ndarray) -> np.ndarray:
    """Tell which columns (..., d) have few distinct values, or one value in many samples."""
    ordered = np.sort(array, axis=-2)
    n = ordered.shape[-2]
    distinct = 1 + (np.diff(ordered, axis=-2) > 0).sum(axis=-2)
    reach = max(1, int(COMMON_VALUE * n))
    has_common = (ordered[..., reach:, :] == ordered[..., :-reach, :]).any(axis=-2)
    return (distinct < DISTINCT_VALUES * n) | has_common


def is_redundant(array: np.ndarray) -> np.ndarray:
    """Tell in which problems (...) some columns are linear functions of others."""
    peak = np.abs(array).max(axis=-2, keepdims=True)
    scaled = array / np.where(peak > 0, peak, 1)  # squares of huge values would overflow
    spread = scaled.std(axis=-2, keepdims=True)
    scaled = (scaled - scaled.mean(axis=-2, keepdims=True)) / np.where(spread > 0, spread, 1)
    values = np.linalg.eigvalsh(np.swapaxes(scaled, -1, -2) @ scaled)
    return np.asarray((values <= REDUNDANT_VARIANCE * values[..., -1:]).any(axis=-1))


def check_not_redundant(name: str, array: np.ndarray) -> None:
    """Refuse columns that are linear functions of others, as duplicates are."""
    bad = is_redundant(array)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        at = f" in problem {first}" if first else ""
        raise ValueError(
            f"{name} has columns that repeat others or are sums of them{at}: a flow would have no density; remove "
            "them, or reduce with PCA()."
        )
