"""Moments of samples that are spread over devices: each adds up its own rows, three sums join them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from pid_jax.runtime.checks import check_samples
from pid_jax.runtime.devices import check_mesh, place_batches
from pid_jax.runtime.precision import double_precision
from pid_jax.stream.moments import Moments, check_range


def sharded_moments(samples: ArrayLike, mesh: Mesh) -> Moments:
    """Compute the moments of samples by all devices of a mesh, each of its own rows.

    Device k has n_k rows with mean x̄_k and scatter S_k. One `psum` gives n = Σ n_k and x̄ = Σ n_k x̄_k / n, another one
    the scatter Σ (S_k + n_k δ_k δ_kᵀ) with δ_k = x̄_k − x̄: the merge of `Moments.merge`, for all devices at once.

    Args:
        samples: Samples (n, d), for instance one block of a stream: what was found for several is joined by
            `Moments.merge`.
        mesh: A mesh with one axis, along which rows are divided.

    Returns:
        The moments in float64, as NumPy arrays.

    Raises:
        TypeError: For tracers and for arrays that hold no real numbers, or a mesh that is none.
        ValueError: For another shape, NaN, masked values, values whose squares are no numbers, or a mesh with several
            axes.

    Source: Chan, Golub & LeVeque (1983), Am. Stat. 37, 242.

    Example:
        >>> import jax
        >>> import numpy as np
        >>> from pid_jax import sharded_moments
        >>> samples = np.random.default_rng(0).normal(size=(1000, 3))
        >>> found = sharded_moments(samples, jax.make_mesh((jax.device_count(),), ("samples",)))
        >>> bool(np.allclose(found.cov, np.cov(samples.T), rtol=0, atol=1e-14))
        True
    """
    if len(check_mesh(mesh).axis_names) != 1:
        raise ValueError(
            f"mesh needs one axis, that of samples, got {mesh.axis_names}: make it of all devices in a row."
        )
    array = check_samples("samples", samples)
    if array.ndim != 2:
        raise ValueError(f"samples must have shape (n, d), got {array.shape}: give one problem at a time.")
    rows = len(array)
    filled = np.zeros((-(-rows // mesh.size) * mesh.size, array.shape[1]), array.dtype)
    filled[:rows] = array
    is_row = np.arange(len(filled)) < rows
    with double_precision():
        placed, weights = place_batches((filled, is_row.astype(np.float64)), mesh)
        # All devices shift by the same sample, so that nothing is lost where means are large.
        shift = array[0].astype(np.float64)
        found = _moments_of_all(placed, weights, shift, mesh=mesh)
        offset, scatter, reach = (np.asarray(one) for one in found)
    with np.errstate(over="ignore", under="ignore"):
        moments = Moments(count=rows, mean=shift + offset * reach, scatter=scatter * reach * reach[:, None])
    check_range(np.diagonal(moments.scatter) / rows, reach > 0, "samples in column {}".format)
    return moments


@partial(jax.jit, static_argnames="mesh")
def _moments_of_all(
    samples: Float[Array, "n d"], weights: Float[Array, "n"], shift: Float[Array, "d"], *, mesh: Mesh
) -> tuple[Float[Array, "d"], Float[Array, "d d"], Float[Array, "d"]]:
    (axis,) = mesh.axis_names
    rows, same = PartitionSpec(axis), PartitionSpec()
    of_device = partial(_moments_of_device, axis=axis)
    return jax.shard_map(of_device, mesh=mesh, in_specs=(rows, rows, same), out_specs=(same, same, same))(
        samples, weights, shift
    )


def _moments_of_device(
    samples: Float[Array, "m d"], weights: Float[Array, "m"], shift: Float[Array, "d"], *, axis: str
) -> tuple[Float[Array, "d"], Float[Array, "d d"], Float[Array, "d"]]:
    """Add up own rows, those of weight 1, and join them with those of all devices.

    Offset and scatter are in units of how far the farthest row is from the shift, so that no square is out of range.
    """
    shifted = (samples.astype(jnp.float64) - shift) * weights[:, None]
    reach = jnp.asarray(jax.lax.pmax(jnp.abs(shifted).max(axis=0), axis))
    shifted = shifted / jnp.where(reach > 0, reach, 1)
    count, sums = weights.sum(), shifted.sum(axis=0)
    own = sums / jnp.maximum(count, 1)
    centered = (shifted - own) * weights[:, None]
    all_counts, all_sums = jax.lax.psum((count, sums), axis)
    mean = all_sums / all_counts
    apart = own - mean
    return mean, jax.lax.psum(centered.T @ centered + count * jnp.outer(apart, apart), axis), reach
