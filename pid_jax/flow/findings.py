"""Sentences about fits of flows: few samples, over-fitted, not preferred by held-out samples."""

from collections.abc import Sequence

import numpy as np

from pid_jax.flow.fitted import FlowFit
from pid_jax.normality.sentences import READS_LOW, group_sentences, head_of, span_of
from pid_jax.settings.gaussianize import RealNVP

# Gap between training and held-out likelihood, in nats per coordinate, that flows at their defaults do not reach on
# Gaussian samples (0.03 to 0.06 with 80 samples for each coordinate, 0.15 to 0.56 with 20 to 40), and that flows which
# learned the samples by heart exceed by far (8 and more).
LARGEST_GAP = 1.0
# Samples for each dimension from which on a flow learns warps that change the likelihood much. With 21, intervals hold
# a quarter of the atoms after a leaky-ReLU layer, with gains of 0.27 to 0.38 nats per coordinate over other maps, and
# 0.78 of those of class clusters, with gains up to 0.09 (docs/decisions/0015-independent-components.md).
FLOW_SAMPLES, LARGEST_GAIN = 30, 0.15


def describe_flows(
    fit: FlowFit,
    fitted: np.ndarray,
    is_used: np.ndarray,
    dims: tuple[int, int, int],
    problem: str,
    preferred: np.ndarray | None = None,
    gain: np.ndarray | None = None,
) -> tuple[str, ...]:
    """Return sentences about flows whose intervals may not hold, among those whose latents are used.

    Args:
        fit: The flows, of those problems that have one.
        fitted: Which problems these are.
        is_used: Of all problems, which have the latents of their flow.
        dims: Coordinates of each variable.
        problem: What a problem is called.
        preferred: Of all problems, the name of the map that held-out samples prefer; None if it is not known.
        gain: Of all problems, how much likelier held-out samples are with the flow than with the best other map, in
            nats a sample; None if it is not known.
    """
    if not is_used.any():
        return ()
    train, held_out = np.full((2, len(is_used)), np.nan)
    for last, curves in ((train, fit.train_curve), (held_out, fit.validation_curve)):
        last[fitted] = curves.reshape(len(fitted), -1)[:, -1]
    train[~is_used] = np.nan
    return (
        *(() if gain is None else describe_size(fit.samples, sum(dims), np.where(is_used, gain, np.nan), problem)),
        *describe_fits(train, held_out, sum(dims), problem),
        *(() if preferred is None else describe_preferred(preferred, is_used, problem)),
    )


def describe_preferred(preferred: np.ndarray, is_used: np.ndarray, name: str = "layer") -> tuple[str, ...]:
    """Return a sentence for each simpler map that held-out samples prefer to the flow that is used.

    Of Gaussian samples a flow learns chance, which a refit shows only in part: atoms read high.

    Args:
        preferred: Name of the map of each problem, simplest within one standard error of the best.
        is_used: Which problems have the latents of their flow.
        name: What a problem is called.
    """
    each = [
        (
            f"held-out samples are as likely with the simpler {one}() as after the flow: there is little for a flow to "
            "learn, its atoms may read high, and their intervals hold less often than their level; Auto() chooses "
            f"{one}()",
        )
        if used and one != RealNVP.__name__
        else ()
        for one, used in zip(preferred, is_used, strict=True)
    ]
    return group_sentences(each, name)


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


def describe_size(samples: int, size: int, gain: np.ndarray, name: str = "layer") -> tuple[str, ...]:
    """Return one sentence about flows that had much to learn from few samples, or none.

    Args:
        samples: Number of samples n.
        size: Dimensions D of all variables together.
        gain: How much likelier held-out samples of each problem are with the flow than with the best other map, in nats
            a sample; NaN without a flow.
        name: What a problem is called.
    """
    is_meant = gain > LARGEST_GAIN * size
    if samples >= FLOW_SAMPLES * size or not is_meant.any():
        return ()
    head = head_of(np.flatnonzero(is_meant), len(gain), name)
    return (
        f"{head}{samples} samples are few for a flow of {size} dimensions, "
        f"by which held-out samples gain {span_of(gain[is_meant])} nats: it has learned a part of it, "
        f"{READS_LOW}; use {FLOW_SAMPLES * size} samples, or fewer dimensions (PCA(dim=...))",
    )
