"""Both sources as noisy channels of the target, the form in which samples are drawn without drawing them."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pid_jax.gaussian.joint import block_slices, unit_scale
from pid_jax.gaussian.linalg import cholesky, solve_lower


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Channels:
    """source_k = H_k target + noise_k, with the target and both noises white: all that information depends on.

    Source k alone leaves (I + H_kᵀ H_k)⁻¹ of the target unknown.

    Attributes:
        gain_1: H_1.
        gain_2: H_2.
        coupling: K, the covariance of noise_1 and noise_2.
        shared: Number of leading coordinates of source_2 that are linear functions of source_1, static. They add
            nothing to what both sources know together.
    """

    gain_1: Float[Array, "d1 dt"]
    gain_2: Float[Array, "d2 dt"]
    coupling: Float[Array, "d1 d2"]
    shared: int = field(default=0, metadata={"static": True})


def split_channels(cov: Float[Array, "D D"], dims: tuple[int, int, int], shared: int = 0) -> Channels:
    """Write a covariance as channels.

    Args:
        cov: A covariance in the order source_1, source_2, target, positive definite but for what is `shared`.
        dims: (d1, d2, dt).
        shared: Number of leading coordinates of source_2 that are linear functions of source_1.

    Returns:
        The channels; NaN if the covariance has a lower rank than this.
    """
    scale = unit_scale(cov)
    corr = cov * scale[:, None] * scale[None, :]
    at_1, at_2, target = block_slices(dims)
    sources = slice(0, target.start)
    gain = solve_lower(cholesky(corr[target, target]), corr[target, sources]).T
    noise = corr[sources, sources] - gain @ gain.T
    root_1, root_2 = cholesky(noise[at_1, at_1]), cholesky(noise[at_2, at_2])
    return Channels(
        gain_1=solve_lower(root_1, gain[at_1]),
        gain_2=solve_lower(root_2, gain[at_2]),
        coupling=solve_lower(root_2, solve_lower(root_1, noise[at_1, at_2]).T).T,
        shared=shared,
    )


def all_gains(channels: Channels) -> tuple[Float[Array, "d1 dt"], Float[Array, "d2 dt"], Float[Array, "r dt"]]:
    """Return the gains of source_1, of source_2 and of both together, each relative to white noise."""
    gain = jnp.concatenate([channels.gain_1, channels.gain_2])
    root = noise_factor(channels)
    return channels.gain_1, channels.gain_2, solve_lower(_distinct(channels, root), _distinct(channels, gain))


def joint_covariance(channels: Channels) -> Float[Array, "D D"]:
    """Return the covariance of source_1, source_2 and target, with the target and both noises white."""
    gain, root = jnp.concatenate([channels.gain_1, channels.gain_2]), noise_factor(channels)
    target = jnp.eye(gain.shape[1], dtype=gain.dtype)
    return jnp.block([[gain @ gain.T + root @ root.T, gain], [gain.T, target]])


def noise_factor(channels: Channels) -> Float[Array, "d r"]:
    """Factor the covariance of both noises of rank r, [[I, K], [Kᵀ, I]] = L Lᵀ."""
    coupling, shared = channels.coupling, channels.shared
    first, second = (jnp.eye(size, dtype=coupling.dtype) for size in coupling.shape)
    rest = cholesky((second - coupling.T @ coupling)[shared:, shared:])
    own = jnp.pad(rest, ((shared, 0), (0, 0)))
    return jnp.block([[first, jnp.zeros((len(first), len(rest)), rest.dtype)], [coupling.T, own]])


def _distinct(channels: Channels, rows: Float[Array, "d m"]) -> Float[Array, "r m"]:
    """Leave out the coordinates of source_2 that are functions of source_1."""
    if not channels.shared:
        return rows
    first = len(channels.gain_1)
    return jnp.concatenate([rows[:first], rows[first + channels.shared :]])


def sample_gains(
    channels: Channels, noise_root: Float[Array, "d r"], white: Float[Array, "D D"]
) -> tuple[Float[Array, "d1 dt"], Float[Array, "d2 dt"], Float[Array, "r dt"]]:
    """Find the gains in the covariance of samples.

    In the order target, sources the covariance has the factor F = [[I, 0], [H, L]], and the sample covariance F W Wᵀ Fᵀ
    with the factor W of a white Wishart matrix. F W is lower triangular, so that nothing has to be factored but the
    noise of source_2. Of W the leading rows are taken, as many as the covariance has rank.

    Args:
        channels: The channels that are sampled.
        noise_root: Their `noise_factor`.
        white: W, see `WhiteFactors`; its scale does not matter.

    Returns:
        The gains of source_1, source_2 and both together, in units of the sample covariances of target and noises.
    """
    (first, size), (d, rank) = channels.gain_1.shape, noise_root.shape
    gain = jnp.concatenate([channels.gain_1, channels.gain_2])
    signal = gain @ white[:size, :size] + noise_root @ white[size : size + rank, :size]
    noise = noise_root @ white[size : size + rank, size : size + rank]
    root_2 = cholesky(noise[first:] @ noise[first:].T) if d > first else noise[first:]
    return (
        solve_lower(noise[:first, :first], signal[:first]),
        solve_lower(root_2, signal[first:]),
        solve_lower(_distinct(channels, noise), _distinct(channels, signal)),
    )
