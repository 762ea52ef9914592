"""The model among whose samples the data are typical: the contrast between two sources before sampling spread it."""

import dataclasses
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from pid_jax.gaussian.channels import Channels, all_gains, noise_factor, sample_gains, split_channels
from pid_jax.gaussian.information import Information
from pid_jax.gaussian.linalg import symmetric_eigen
from pid_jax.gaussian.wishart import information_bias
from pid_jax.pid.gains import Contrast, contrast_of, half_log_ratios, information_of_gains

# A direction counts as different from the center where it is so many standard deviations away, one number for each step
# of the search: clear directions first, since those move what samples show of the others.
THRESHOLDS = (8.0, 8.0, 4.0, 4.0, 4.0, 2.5, 2.5, 1.75, 1.75, 1.75)
# Directions that are found down to this threshold differ beyond doubt.
CERTAIN = 4.0
# The center counts as zero below this number of standard deviations, and as it is from one more on.
DOUBTFUL = 1.5


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Frame:
    """Channels whose contrast can be replaced while all else stays.

    Attributes:
        channels: The channels of the sample covariance.
        contrast: Their contrast, after both informations were lowered to what they are without bias.
    """

    channels: Channels
    contrast: Contrast

    def replaced(self, half_log_ratio: Float[Array, "dt"]) -> Channels:
        """Return channels with another contrast along the same directions of the target."""
        common, axes = self.contrast.common, self.contrast.axes
        known = [(axes * (common * jnp.exp(sign * half_log_ratio))) @ axes.T for sign in (-1, 1)]
        return Channels(
            gain_1=_gain_like(self.channels.gain_1, known[0]),
            gain_2=_gain_like(self.channels.gain_2, known[1]),
            coupling=self.channels.coupling,
            shared=self.channels.shared,
        )


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Unsampled:
    """A contrast without what sampling added.

    Attributes:
        center: l of the directions that do not differ.
        half_log_ratio: l of all directions, ascending.
        least: The same with those directions at the center that are not away from it beyond doubt.
        spread: What sampling makes of equal directions around a center of 0, ascending.
    """

    center: Float[Array, ""]
    half_log_ratio: Float[Array, "dt"]
    least: Float[Array, "dt"]
    spread: Float[Array, "dt"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Typical:
    """A model among whose samples a sample covariance is typical.

    Attributes:
        sampled: The channels of the sample covariance.
        frame: The same with the coupling before sampling, whose contrast can be replaced.
        unsampled: The contrast before sampling.
        observed: l of the sample covariance, ascending.
        information: The informations without bias, in nats.
        bias: The bias.
    """

    sampled: Channels
    frame: Frame
    unsampled: Unsampled
    observed: Float[Array, "dt"]
    information: Information
    bias: Information

    @property
    def channels(self) -> Channels:
        """The model."""
        return self.frame.replaced(self.unsampled.half_log_ratio)


def find_typical(
    cov: Float[Array, "D D"],
    dims: tuple[int, int, int],
    freedom: Float[Array, ""],
    whites: Float[Array, "draws D D"],
    shared: int = 0,
) -> Typical:
    """Find the model whose samples look like a sample covariance.

    Args:
        cov: The sample covariance, positive definite but for what is `shared`.
        dims: (d1, d2, dt).
        freedom: n − 1.
        whites: Factors of white Wishart matrices, see `WhiteFactors`.
        shared: Number of leading coordinates of source_2 that are linear functions of source_1.
    """
    channels = split_channels(cov, dims, shared)
    bias = information_bias(freedom, dims, shared)
    information = jax.tree.map(jnp.subtract, information_of_gains(*all_gains(channels)), bias)
    observed = half_log_ratios(channels.gain_1, channels.gain_2)
    frame = frame_of(dataclasses.replace(channels, coupling=unsampled_coupling(channels, freedom)), information)
    unsampled = unsampled_contrast(frame, observed, whites)
    return Typical(
        sampled=channels, frame=frame, unsampled=unsampled, observed=observed, information=information, bias=bias
    )


def frame_of(channels: Channels, information: Information) -> Frame:
    """Prepare channels for another contrast.

    Args:
        channels: The channels of a sample covariance.
        information: The informations without bias, to which those of the channels are lowered.
    """
    known = [
        _lowered(gain, target)
        for gain, target in (
            (channels.gain_1, jnp.asarray(information.i_1)),
            (channels.gain_2, jnp.asarray(information.i_2)),
        )
    ]
    return Frame(channels=channels, contrast=contrast_of(*known))


def unsampled_contrast(frame: Frame, observed: Float[Array, "dt"], whites: Float[Array, "draws D D"]) -> Unsampled:
    """Find the contrast whose samples have the observed one on average, with as many equal directions as possible.

    Starting from a contrast that is the same in all directions, those whose observed value is farther from what samples
    show than so many standard deviations take the value that makes up for it; the others keep the center, and the
    center follows the median (iterative hard thresholding, with thresholds that fall). Sorted values of samples repel
    each other: where all directions are equal in truth they are spread, and all of that spread is taken away.

    Args:
        frame: The channels.
        observed: l of the sample covariance, ascending; see `Contrast`.
        whites: Factors of white Wishart matrices.

    Source: indirect inference, Gouriéroux, Monfort & Renault (1993), J. Appl. Econometrics 8, S85; hard thresholding,
    Blumensath & Davies (2009), Appl. Comput. Harmon. Anal. 27, 265. docs/decisions/0016 has the comparison.
    """

    def sampled(half_log_ratio: Float[Array, "dt"]) -> Float[Array, "draws dt"]:
        _, ratios = sampled_amounts(frame.replaced(half_log_ratio), whites)
        return ratios

    def clear_part(center: Float[Array, ""]) -> Float[Array, ""]:
        return center * clarity(center, medians.std())

    spread = sampled(jnp.zeros_like(observed))
    medians = jnp.median(spread, axis=1)
    center = clear_part(jnp.median(observed) - medians.mean())

    def step(state: tuple[Array, Array, Array], threshold: Float[Array, ""]) -> tuple[tuple[Array, Array, Array], None]:
        found, least, center = state
        shown = sampled(found)
        off = observed - shown.mean(axis=0)
        center = clear_part(center + jnp.median(off))
        away = found + off - center
        found = jnp.sort(center + jnp.where(jnp.abs(away) > threshold * shown.std(axis=0), away, 0))
        return (found, jnp.where(threshold >= CERTAIN, found, least), center), None

    equal = jnp.full_like(observed, center)
    (found, least, center), _ = lax.scan(step, (equal, equal, center), jnp.asarray(THRESHOLDS))
    return Unsampled(
        center=center,
        half_log_ratio=found,
        least=least,
        spread=spread.mean(axis=0) - spread.mean(),
    )


def unsampled_coupling(channels: Channels, freedom: Float[Array, ""]) -> Float[Array, "d1 d2"]:
    """Find the coupling of both noises without what sampling added.

    −½ log(1 − c²) over the canonical correlations c of both noises is what they tell about each other given the target,
    whose bias is exact, see `information_bias`. All directions are lowered by one amount. With few samples for the
    dimensions noises of samples look coupled though they are not, and samples of a model in which they are scatter far
    less in what makes the sources differ.

    Args:
        channels: The channels of a sample covariance.
        freedom: n − 1.
    """
    (d1, d2), dt, shared = channels.coupling.shape, channels.gain_1.shape[1], channels.shared
    if shared == min(d1, d2):  # one source is a function of the other
        return channels.coupling
    left, correlation, right = jnp.linalg.svd(channels.coupling, full_matrices=False)
    bias = information_bias(freedom - dt - shared, (d1 - shared, d1 - shared, d2 - shared)).i_1
    own = jnp.minimum(correlation[shared:], 1 - jnp.finfo(correlation.dtype).eps)
    each = -0.5 * jnp.log1p(-(own**2))
    lowered = jnp.sqrt(-jnp.expm1(-2 * _lowered_each(each, each.sum() - bias)))
    return (left * jnp.concatenate([correlation[:shared], lowered])) @ right


def sampled_amounts(
    channels: Channels, whites: Float[Array, "draws D D"]
) -> tuple[Information, Float[Array, "draws dt"]]:
    """Compute informations in nats, as biased as they are, and l of sample covariances."""
    root = noise_factor(channels)

    def one(white: Float[Array, "D D"]) -> tuple[Information, Array]:
        gains = sample_gains(channels, root, white)
        return information_of_gains(*gains), half_log_ratios(*gains[:2])

    return jax.vmap(one)(whites)


def clarity(value: Float[Array, ""], deviation: Float[Array, ""]) -> Float[Array, ""]:
    """Say how clearly a value is not zero: 1 if it is, 0 if it may well be zero, or something between."""
    has_noise = deviation > 0
    return jnp.where(has_noise, jnp.clip(jnp.abs(value) / jnp.where(has_noise, deviation, 1) - DOUBTFUL, 0, 1), 1)


def _lowered(gain: Float[Array, "d dt"], information: Float[Array, ""]) -> Float[Array, "dt dt"]:
    """Return HᵀH with every direction's information lowered by one amount, so that they sum to another information."""
    values, vectors = symmetric_eigen(gain.T @ gain)
    lowered = _lowered_each(0.5 * jnp.log1p(jnp.maximum(values, 0)), information)
    return (vectors * jnp.expm1(2 * lowered)) @ vectors.T


def _lowered_each(each: Float[Array, "m"], information: Float[Array, ""]) -> Float[Array, "m"]:
    """Lower all numbers by one amount, but not below zero, so that they sum to some information."""
    ordered = jnp.sort(each)[::-1]
    sums = jnp.cumsum(ordered)
    levels = (sums - information) / jnp.arange(1, len(each) + 1)
    level = levels[jnp.maximum((ordered > levels).sum() - 1, 0)]
    lowered = jnp.maximum(each - jnp.where(sums[-1] > information, level, 0), 0)
    return jnp.where(information > 0, lowered, 0)


def _gain_like(gain: Float[Array, "d dt"], precision: Float[Array, "dt dt"]) -> Float[Array, "d dt"]:
    """Find the gain closest to another whose HᵀH is P − I, or what is left of it if there are fewer channels."""
    values, vectors = symmetric_eigen(precision)
    root = (vectors * jnp.sqrt(jnp.maximum(values - 1, 0))) @ vectors.T
    left, _, right = jnp.linalg.svd(gain @ root, full_matrices=False)
    return left @ right @ root
