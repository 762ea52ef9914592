"""How far sampling scatters the atoms, to first order."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pid_jax.bias.gains import contrast_of
from pid_jax.gaussian.channels import Channels, all_gains, noise_factor
from pid_jax.gaussian.information import Information
from pid_jax.gaussian.linalg import cholesky, invert_lower, solve_lower
from pid_jax.pid.atoms import PIDAtoms, compose_atoms


def first_order_scatter(channels: Channels, freedom: Float[Array, ""]) -> PIDAtoms:
    """Compute standard deviations of the BROJA atoms of Gaussian samples in nats, to first order in 1/√n.

    Let u_k be what source k leaves unknown of the target, made white along the axes of the contrast, u_12 what both
    leave unknown, and t the target, white. A sample moves I_k by (|t|² − |u_k|²) / 2n and N = Σ |l_i| by
    Σ sign(l_i) (u_1i² − u_2i²) / 2n. So it moves every atom by Σ w_j y_j² / 2n with y = (t, u_1, u_2, u_12), and the
    variance of the atom is Σ w_i w_j cov(y_i, y_j)² / 2n.

    Not seen is what N owes to signs that sampling may turn: where all l_i have one sign an atom that is zero does not
    scatter at all.

    Args:
        channels: The channels of the covariance.
        freedom: n − 1.
    """
    gain_1, gain_2, gain_12 = all_gains(channels)
    contrast = contrast_of(gain_1.T @ gain_1, gain_2.T @ gain_2)
    size, root = len(contrast.common), noise_factor(channels)
    factor = cholesky(contrast.axes @ contrast.axes.T)
    along = solve_lower(factor, contrast.axes).T @ invert_lower(factor)
    target = jnp.eye(size, dtype=along.dtype)
    scale = [jnp.sqrt(contrast.common * jnp.exp(sign * contrast.half_log_ratio))[:, None] for sign in (-1, 1)]
    noise_1, noise_2 = jnp.split(root, [len(gain_1)])
    left = [  # what is left of the target, from the white target and white noise
        along / scale[0] @ jnp.hstack([target, -gain_1.T @ noise_1]),
        along / scale[1] @ jnp.hstack([target, -gain_2.T @ noise_2]),
        solve_lower(cholesky(target + gain_12.T @ gain_12), jnp.hstack([target, -gain_12.T])),
    ]
    white = jnp.vstack([jnp.hstack([target, jnp.zeros_like(gain_12.T)]), *left])
    squared = (white @ white.T) ** 2
    one, none, sign = jnp.ones(size), jnp.zeros(size), jnp.sign(contrast.half_log_ratio)
    weights = compose_atoms(
        Information(
            i_1=jnp.concatenate([one, -one, none, none]),
            i_2=jnp.concatenate([one, none, -one, none]),
            i_12=jnp.concatenate([one, none, none, -one]),
        ),
        jnp.concatenate([none, sign, -sign, none]),
    )
    return jax.tree.map(lambda w: jnp.sqrt(jnp.maximum(w @ squared @ w, 0) / (2 * freedom)), weights)
