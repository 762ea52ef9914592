"""Sentences about fits of flows: over-fitted, or of few samples."""

from collections.abc import Sequence

import numpy as np

from pid_jax.flow.fitted import FlowFit
from pid_jax.normality.sentences import head_of, span_of

# Gap between training and held-out likelihood, in nats a coordinate, that flows at their defaults do not reach on
# Gaussian samples (0.03 to 0.06 with 80 samples for each coordinate, 0.15 to 0.3 with 20 to 40), and that flows which
# learned the samples by heart exceed by far (8 and more).
LARGEST_GAP = 0.5
# Bias of the plug-in information from which on samples are few.
LARGEST_BIAS = 0.1
# Samples for each dimension from which on a flow recovers warped Gaussians to about 0.1 nats: to 0.05 with 40, to 0.12
# with 20 (docs/choosing.md).
FLOW_SAMPLES = 30


def describe_flows(
    fit: FlowFit, fitted: np.ndarray, is_used: np.ndarray, dims: tuple[int, int, int], problem: str
) -> tuple[str, ...]:
    """Return sentences about flows that have over-fitted or have few samples, among those whose latents are used.

    Args:
        fit: The flows, of those problems that have one.
        fitted: Which problems these are.
        is_used: Of all problems, which have the latents of their flow.
        dims: Coordinates of each variable.
        problem: What a problem is called.
    """
    if not is_used.any():
        return ()
    train, held_out = np.full((2, len(is_used)), np.nan)
    for last, curves in ((train, fit.train_curve), (held_out, fit.validation_curve)):
        last[fitted] = curves.reshape(len(fitted), -1)[:, -1]
    train[~is_used] = np.nan
    return (
        *describe_size(fit.samples, dims),
        *describe_fits(train, held_out, sum(dims), problem),
    )


def describe_fits(
    train: Sequence[float] | np.ndarray,
    held_out: Sequence[float] | np.ndarray,
    size: int,
    name: str = "layer",
) -> tuple[str, ...]:
    """Return one sentence about the flows that have over-fitted, or none.

    Args:
        train: Negative log-likelihood of the training samples of each problem, in nats a sample; NaN without a flow.
        held_out: The same of the held-out samples.
        size: Dimensions D of all variables together.
        name: What a problem is called.
    """
    gaps = np.subtract(held_out, train)
    is_large = gaps > LARGEST_GAP * size
    if not is_large.any():
        return ()
    return (
        f"{head_of(np.flatnonzero(is_large), len(gaps), name)}held-out samples are {span_of(gaps[is_large])} nats less "
        f"likely than training samples, where up to {LARGEST_GAP * size:.2g} are common: the flow has over-fitted, "
        "which the correction of the atoms has to make up for",
    )


def describe_size(samples: int, dims: Sequence[int]) -> tuple[str, ...]:
    """Return a sentence if samples are few for flows.

    The plug-in information of independent Gaussians is (d1 + d2) dt / 2n nats on average, to first order.

    Args:
        samples: Number of samples n.
        dims: (d1, d2, dt).
    """
    size, bias = sum(dims), sum(dims[:-1]) * dims[-1] / (2 * samples)
    if bias > LARGEST_BIAS:
        return (
            f"{samples} samples are few for {size} dimensions: without correction the information of both sources "
            f"reads about {bias:.2g} nats too high",
        )
    if samples < FLOW_SAMPLES * size:
        return (
            f"{samples} samples are few for a flow of {size} dimensions: {FLOW_SAMPLES * size} would be enough to "
            "recover warped Gaussians to about 0.1 nats",
        )
    return ()
