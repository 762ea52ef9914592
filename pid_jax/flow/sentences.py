"""What diagnostics mean, in plain sentences."""

from collections.abc import Sequence

import numpy as np

from pid_jax.flow.diagnostics import Deviation, Diagnostics

LABELS = ("source_1", "source_2", "target")
# A problem has 15 checks. The chance that one exceeds 4 by itself is 3e-5 on one side and 6e-5 on two, in all 7e-4.
Z_LIMIT = 4.0
# Smaller deviations are not worth a sentence, however certain: best-case errors of atoms are .01 to .03 nats, at
# n = 5000. As a correlation of sizes it is r = 0.14, as kurtosis of one coordinate an excess of 0.7.
SMALLEST_NATS = 0.01
# What a train/validation gap has to exceed. Half a gap is the optimism of the training samples; 0.1 nats of it are
# as much as the error of atoms of a flow on 1000 samples.
SMALLEST_GAP = 0.2
# Standard errors that the gap has to exceed what is expected by.
GAP_ERRORS = 3.3
# Bias of the plug-in information from which on samples are few.
LARGEST_BIAS = 0.1
# Samples for each dimension from which on a flow recovers warped Gaussians to about 0.1 nats.
FLOW_SAMPLES = 50


def describe(diagnostics: Diagnostics, labels: Sequence[str] = LABELS) -> tuple[str, ...]:
    """Say what is not Gaussian in one problem.

    Args:
        diagnostics: Of one problem, without leading axes.
        labels: Names of both sources and the target.

    Returns:
        One sentence a finding, without a period; nothing where all is well.

    A sentence needs a deviation that chance does not explain, and one that is large enough to matter. For a pair that
    is what it has beyond both variables, to second order the information that the Gaussian one misses. Latents may
    pass and still not be Gaussian. The information of a pair is said to be a lower bound only if both variables pass by
    themselves: given Gaussian variables, no joint distribution with the same covariance has less. No such bound holds
    for the atoms, which are differences.
    """
    has_shape = [_describe_variable(diagnostics, place, label) for place, label in enumerate(labels)]
    found = [sentence for sentences in has_shape for sentence in sentences]
    for source in range(2):
        is_clean = not has_shape[source] and not has_shape[2]
        found += _describe_pair(diagnostics, source, labels[source], labels[2], is_clean)
    return tuple(found)


def describe_fits(
    train: Sequence[float] | np.ndarray,
    held_out: Sequence[float] | np.ndarray,
    samples: tuple[int, int],
    size: int,
    name: str = "layer",
) -> tuple[str, ...]:
    """Say which flows have over-fitted, and how much.

    A Gaussian of D dimensions that is fitted to n samples has D (D + 3)/2 parameters, and a gap of D (D + 3)/2n on
    average. The log-density of a Gaussian sample has the variance D/2.

    Args:
        train: Negative log-likelihood of the training samples of each problem, in nats a sample; NaN without a flow.
        held_out: The same of the held-out samples.
        samples: Number of training samples and of held-out samples.
        size: Dimensions D of all variables together.
        name: What a problem is called.

    Source: Akaike (1974), IEEE Trans. Autom. Control 19, 716, for the gap.
    """
    gaps, count = np.subtract(held_out, train), samples[0]
    expected = size * (size + 3) / (2 * count)
    error = np.sqrt(size / 2 * (1 / samples[0] + 1 / samples[1]))
    is_large = gaps > expected + max(SMALLEST_GAP, GAP_ERRORS * error)
    if not is_large.any():
        return ()
    ends = dict.fromkeys(f"{gap:.2g}" for gap in (gaps[is_large].min(), gaps[is_large].max()))
    return (
        f"{name_places(np.flatnonzero(is_large), name)}: held-out samples are {' to '.join(ends)} nats less likely "
        f"than training samples, where a Gaussian would show {expected:.1g}: the flow has over-fitted, which the "
        "correction of the atoms has to make up for",
    )


def describe_size(samples: int, dims: Sequence[int], is_flow: bool = False) -> tuple[str, ...]:
    """Say whether samples are few.

    The plug-in information of independent Gaussians is (d1 + d2) dt / 2n nats on average, to first order.

    Args:
        samples: Number of samples n.
        dims: (d1, d2, dt).
        is_flow: Whether flows are fitted to them, which needs more.
    """
    size, bias = sum(dims), sum(dims[:-1]) * dims[-1] / (2 * samples)
    if bias > LARGEST_BIAS:
        return (
            f"{samples} samples are few for {size} dimensions: without correction the information of both sources "
            f"reads about {bias:.2g} nats too high",
        )
    if is_flow and samples < FLOW_SAMPLES * size:
        return (
            f"{samples} samples are few for a flow of {size} dimensions: {FLOW_SAMPLES * size} would be enough to "
            "recover warped Gaussians to about 0.1 nats",
        )
    return ()


def group_sentences(sentences: Sequence[Sequence[str]], name: str = "layer") -> tuple[str, ...]:
    """Say each sentence once, with the problems that it holds for: "layers 0-3, 7: ...".

    Args:
        sentences: What there is to say of each problem.
        name: What a problem is called.
    """
    places: dict[str, list[int]] = {}
    for place, found in enumerate(sentences):
        for sentence in found:
            places.setdefault(sentence, []).append(place)
    return tuple(f"{name_places(at, name)}: {sentence}" for sentence, at in places.items())


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


def _describe_variable(diagnostics: Diagnostics, place: int, label: str) -> list[str]:
    if np.isnan(diagnostics.variable_kurtosis.z[place]):
        return [f"the covariance of {label} is singular: its shape was not checked"]
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
        return [f"the covariance of {pair} is singular: its shape was not checked"]
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
    z, nats = float(deviation.z[place]), float(deviation.nats[place]) - inner
    return int(np.sign(z)) if abs(z) > Z_LIMIT and nats > SMALLEST_NATS else 0


def _weight(sign: int) -> str:
    return "heavier" if sign > 0 else "lighter"
