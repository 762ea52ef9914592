"""Diagnostics in plain sentences."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.special import log_ndtr

from pid_jax.normality.deviation import Deviation
from pid_jax.normality.diagnostics import Diagnostics

# Chance that Gaussian latents of any number of problems have a finding at all, up to twice that by approximations of
# the tails. One problem has 16 checks: a deviation has to exceed 3.8 to 4 standard errors, and 4.6 to 4.8 in 33 layers.
FAMILY_WISE = 1e-3
# Deviations of one sign only; the others are two-sided.
ONE_SIDED = ("coordinate", "variable_skewness", "pair_skewness", "triple")
# Smaller deviations are not worth a sentence, however certain: best-case errors of atoms are .01 to .03 nats, at
# n = 5000. As a correlation of sizes it is r = 0.14, as kurtosis of one coordinate an excess of 0.7.
SMALLEST_NATS = 0.01
# What follows where variables are not Gaussian by themselves, and the remedy after maps of single coordinates.
READS_LOW = "atoms may read low, and their intervals hold less often than their level"
BEND_VARIABLES = "RealNVP() bends whole variables, and Auto() tells whether it helps"


def find_significant(diagnostics: Diagnostics) -> Diagnostics:
    """Set to zero what chance explains, by Holm's procedure over all checks of all problems together.

    Source: Holm (1979), Scand. J. Stat. 6, 65.
    """
    names = [f.name for f in dataclasses.fields(diagnostics) if isinstance(getattr(diagnostics, f.name), Deviation)]
    z = {name: np.asarray(getattr(diagnostics, name).z, np.float64) for name in names}
    log_p = {n: log_ndtr(-z[n]) if n in ONE_SIDED else np.log(2) + log_ndtr(-np.abs(z[n])) for n in names}
    ordered = np.sort(np.concatenate([np.ravel(value) for value in log_p.values()]))  # NaN come last
    tested = np.arange((~np.isnan(ordered)).sum(), 0, -1)
    is_above = ordered[: len(tested)] > np.log(FAMILY_WISE / tested)
    cut = ordered[is_above.argmax()] if is_above.any() else np.inf
    kept = {n: dataclasses.replace(getattr(diagnostics, n), z=np.where(log_p[n] >= cut, 0.0, z[n])) for n in names}
    return dataclasses.replace(diagnostics, **kept)


def describe_parts(found: Diagnostics, labels: Sequence[str]) -> tuple[str, ...]:
    """Return sentences about single variables and pairs of one problem.

    A sentence needs a deviation that chance does not explain, and one that is large enough to matter. For a pair that
    is what it has beyond both variables, to second order the information that the Gaussian one misses. Latents may
    pass and still not be Gaussian. The information of a pair is said to be a lower bound only if both variables pass by
    themselves: given Gaussian variables, no joint distribution with the same covariance has less. No such bound holds
    for the atoms, which are differences.

    Args:
        found: Of one problem, after `find_significant`.
        labels: Names of both sources and the target.
    """
    has_shape = [_describe_variable(found, place, label) for place, label in enumerate(labels)]
    sentences = [sentence for some in has_shape for sentence in some]
    for source in range(2):
        is_clean = not has_shape[source] and not has_shape[2]
        sentences += _describe_pair(found, source, labels[source], labels[2], is_clean)
    return tuple(sentences)


def describe_triple(triple: Deviation, labels: Sequence[str], name: str = "problem") -> tuple[str, ...]:
    """Return one sentence about all problems whose three variables are not jointly Gaussian, or none.

    Args:
        triple: Of one problem, or of all on the leading axis, after `find_significant`.
        labels: Names of both sources and the target.
        name: What a problem is called.
    """
    z, nats = np.atleast_1d(triple.z), np.atleast_1d(triple.nats)
    is_meant = (z > 0) & (nats > SMALLEST_NATS)
    if not is_meant.any():
        return ()
    head = head_of(np.flatnonzero(is_meant), len(is_meant), name)
    return (
        f"{head}{labels[0]}, {labels[1]} and {labels[2]} are not jointly Gaussian together (third moments of all "
        f"three): the atoms, synergy above all, may miss about {span_of(nats[is_meant])} nats",
    )


def group_sentences(sentences: Sequence[Sequence[str]], name: str = "layer") -> tuple[str, ...]:
    """Write each sentence once, after the problems that it holds for if there are several: "layers 0-3, 7: ...".

    Args:
        sentences: What there is to say of each problem.
        name: What a problem is called.
    """
    places: dict[str, list[int]] = {}
    for place, found in enumerate(sentences):
        for sentence in found:
            places.setdefault(sentence, []).append(place)
    heads = (head_of(np.array(at), len(sentences), name) for at in places.values())
    return tuple(f"{head}{sentence}" for head, sentence in zip(heads, places, strict=True))


def name_places(places: Sequence[int] | np.ndarray, name: str) -> str:
    """Write ascending numbers of problems as "layers 0-3, 7"."""
    runs: list[list[int]] = []
    for place in places:
        if runs and place == runs[-1][-1] + 1:
            runs[-1].append(int(place))
        else:
            runs.append([int(place)])
    ranges = (f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
    return f"{name}{'s' * (len(places) > 1)} {', '.join(ranges)}"


def name_problems(is_meant: np.ndarray, count: int, name: str) -> str:
    """Write some of `count` problems, or of one that stands for all, as "all layers" or "layers 0-3, 7"."""
    if len(is_meant) < count or is_meant.all():
        return f"all {name}s" if count > 1 else f"the {name}"
    return name_places(np.flatnonzero(is_meant), name)


def _describe_variable(diagnostics: Diagnostics, place: int, label: str) -> list[str]:
    if np.isnan(diagnostics.variable_kurtosis.z[place]):
        return [f"the shape of {label} was not checked: it has no fewer dimensions than samples"]
    found = []
    if _sign(diagnostics.coordinate, place) > 0:
        found.append(f"a coordinate of {label} is not normal")
    tails = _sign(diagnostics.variable_kurtosis, place)
    if _is_skewed(diagnostics.variable_skewness, diagnostics.variable_kurtosis, place, tails):
        found.append(f"{label} is skewed")
    if tails:
        found.append(f"tails of {label} are {_weight(tails)} than Gaussian")
    return found


def _describe_pair(diagnostics: Diagnostics, place: int, source: str, target: str, is_clean: bool) -> list[str]:
    pair = f"the pair ({source}, {target})"
    if np.isnan(diagnostics.pair_kurtosis.z[place]):
        return [f"the shape of {pair} was not checked: it has no fewer dimensions than samples"]
    found = []
    tails = _sign(diagnostics.pair_kurtosis, place, _inner(diagnostics.variable_kurtosis, place))
    if tails:
        found.append(f"tails of {pair} are {_weight(tails)} than Gaussian")
    inner = _inner(diagnostics.variable_skewness, place)
    if _is_skewed(diagnostics.pair_skewness, diagnostics.pair_kurtosis, place, tails, inner):
        found.append(f"{pair} is skewed or curved")
    norms = _sign(diagnostics.pair_norms, place)
    if norms > 0:
        found.append(
            f"squared norms of {source} and {target} go together, as in a multivariate t, which no map of each "
            "variable alone makes Gaussian"
        )
    elif norms < 0:
        found.append(f"squared norms of {source} and {target} go against each other")
    if not found:
        return []
    bound = "is a lower bound" if is_clean else "is that of a Gaussian, and may be too low or too high"
    return [f"{'; '.join(found)}: the information of this pair {bound}"]


def _is_skewed(skewness: Deviation, kurtosis: Deviation, place: int, tails: int, inner: float = 0.0) -> bool:
    """Tell skewness from the large third moments that heavy tails have by chance: there it has to be the larger one."""
    is_hidden = tails > 0 and skewness.nats[place] < kurtosis.nats[place]
    return _sign(skewness, place, inner) > 0 and not is_hidden


def _inner(deviation: Deviation, source: int) -> float:
    """Return what a pair has since its variables have it."""
    return float(deviation.nats[source] + deviation.nats[2])


def _sign(deviation: Deviation, place: int, inner: float = 0.0) -> int:
    """Return the sign of a deviation that is neither chance nor small, and zero for others."""
    nats = float(deviation.nats[place]) - inner
    return int(np.sign(deviation.z[place])) if nats > SMALLEST_NATS else 0


def head_of(places: np.ndarray, count: int, name: str) -> str:
    """Name the problems that a sentence is about, if there are others."""
    return f"{name_places(places, name)}: " if count > 1 else ""


def span_of(values: np.ndarray) -> str:
    """Write the smallest and the largest of some values."""
    return " to ".join(dict.fromkeys(f"{value:.2g}" for value in (values.min(), values.max())))


def _weight(sign: int) -> str:
    return "heavier" if sign > 0 else "lighter"
