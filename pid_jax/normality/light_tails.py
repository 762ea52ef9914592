"""A sentence on variables that stay light-tailed, as samples of several classes are: their atoms read low."""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from pid_jax.normality.diagnostics import Diagnostics
from pid_jax.normality.sentences import BEND_VARIABLES, FAMILY_WISE, READS_LOW, head_of, span_of

# Kurtosis of a coordinate beyond the normal one, in the mean over all coordinates of all three variables, from which
# down intervals after ranks hold too few atoms. With 1000 samples of 8 or 16 coordinates, half of them with two modes,
# it is -0.28 to -0.46 after ranks, whose intervals hold none; of Gaussian samples it is within 0.1.
SMALLEST_KURTOSIS = -0.2


def describe_light_tails(
    diagnostics: Diagnostics, dims: Sequence[int], has_flow: np.ndarray, name: str = "layer"
) -> tuple[str, ...]:
    """Return a sentence about problems whose latents are light-tailed, if maps of single coordinates made them.

    Args:
        diagnostics: What is not Gaussian in the latents of all problems.
        dims: Coordinates of each variable.
        has_flow: Which problems have the latents of their flow.
        name: What a problem is called.
    """
    excess = kurtosis_left(diagnostics, dims)
    is_light = ~has_flow & (excess < SMALLEST_KURTOSIS)
    if not is_light.any():
        return ()
    return (
        f"{head_of(np.flatnonzero(is_light), len(excess), name)}the variables have lighter tails than Gaussian ones, "
        f"with a kurtosis of {span_of(3 + excess[is_light])} instead of 3, as where samples form classes: "
        f"{READS_LOW}; {BEND_VARIABLES}",
    )


def kurtosis_left(diagnostics: Diagnostics, dims: Sequence[int]) -> np.ndarray:
    """Return the mean kurtosis of all coordinates (problems,) less 3, where all three variables are light together.

    The divergence of a variable is e²/(16 d (d + 2)), where e is the sum over its coordinates. Scores of the three
    variables are nearly independent. Zero where chance explains it.

    Args:
        diagnostics: What is not Gaussian in the latents of all problems.
        dims: Coordinates of each variable.
    """
    d = np.asarray(dims, float)
    found = diagnostics.variable_kurtosis
    z, nats = np.asarray(found.z, float), np.asarray(found.nats, float)
    excess = (np.sign(z) * np.sqrt(16 * d * (d + 2) * nats)).sum(axis=-1) / d.sum()
    level = ndtri(FAMILY_WISE / len(z))
    return np.where(z.sum(axis=-1) / np.sqrt(len(d)) < level, excess, 0.0)
