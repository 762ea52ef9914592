"""A sentence on variables that stay skewed, whose atoms read low by more than intervals say."""

import numpy as np

from pid_jax.normality.diagnostics import Diagnostics
from pid_jax.normality.sentences import BEND_VARIABLES, READS_LOW, find_significant, head_of, span_of

# Skewness left in the latents of all three variables, in nats to second order, from which on atoms read low by more
# than their intervals say, after ranks and after flows (benchmarks/results/warped.md).
LARGEST_SKEWNESS = 0.1
_REMEDIES = {
    True: "use fewer dimensions (PCA(dim=...)) or more samples",
    False: BEND_VARIABLES,
}


def describe_skewness(diagnostics: Diagnostics, has_flow: np.ndarray, name: str = "layer") -> tuple[str, ...]:
    """Return a sentence about problems whose latents are skewed, one for flows and one for other maps.

    Args:
        diagnostics: What is not Gaussian in the latents of all problems.
        has_flow: Which problems have the latents of their flow.
        name: What a problem is called.
    """
    left, sentences = skewness_left(diagnostics), []
    for is_flow, remedy in _REMEDIES.items():
        is_large = (has_flow == is_flow) & (left > LARGEST_SKEWNESS)
        if is_large.any():
            sentences.append(
                f"{head_of(np.flatnonzero(is_large), len(left), name)}the variables are still skewed, by "
                f"{span_of(left[is_large])} nats to second order: {READS_LOW}; {remedy}"
            )
    return tuple(sentences)


def skewness_left(diagnostics: Diagnostics) -> np.ndarray:
    """Return the skewness (problems,) of the latents of all three variables beyond chance, in nats to second order."""
    found = find_significant(diagnostics).variable_skewness
    z, nats = np.asarray(found.z, float), np.asarray(found.nats, float)
    return np.where(z > 0, nats, 0.0).sum(axis=-1)
