"""Bias and intervals of the BROJA atoms of samples, from models whose samples look like the data."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

from pid_jax.gaussian.channels import Channels, all_gains, noise_factor
from pid_jax.gaussian.information import Information
from pid_jax.gaussian.linalg import cholesky, invert_lower, solve_lower
from pid_jax.pid.atoms import PIDAtoms, compose_atoms
from pid_jax.pid.gains import contrast_of, half_log_ratios, information_of_gains
from pid_jax.pid.measure import Calibration
from pid_jax.pid.model import Frame, find_typical, sampled_amounts

# Places on the path of models: as many directions equal as may be (0), the contrast before sampling (1), that of the
# sample covariance (2), and one that is wider still by `WIDER` times what sampling adds (3).
PLACES = (0.0, 0.5, 1.0, 2.0, 3.0)
ESTIMATE = PLACES.index(1.0)
WIDER = 1.5
# Draws for the search of the contrast before sampling: one in so many.
SEARCH = 2
# The first order is believed unless it sees less than this part of the scatter of samples, as it does where an atom is
# zero because one source is ahead in every direction.
LEAST_SHARE = 0.8
# How an atom changes with U_1 + U_2 where the three informations stay: half of this.
_UP, _DOWN = np.asarray(1.0), np.asarray(-1.0)
_SIGNS = PIDAtoms(redundancy=_DOWN, unique_1=_UP, unique_2=_UP, synergy=_DOWN)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class _Shown:
    """What samples of one model show.

    Attributes:
        unique: N = U_1 + U_2 in the model, with the observed I_2 − I_1.
        mean: By how much it reads high.
        low: Lower quantiles of the errors of the atoms, which are in a row here.
        high: Upper quantiles.
        scatter: Standard deviations of the errors of the atoms.
        deviation: Standard deviations of what the errors of the informations do to the atoms of models.
    """

    unique: Array
    mean: Array
    low: Float[Array, "4"]
    high: Float[Array, "4"]
    scatter: Float[Array, "4"]
    deviation: Float[Array, "4"]


def calibrate_broja(
    cov: Float[Array, "D D"],
    dims: tuple[int, int, int],
    freedom: Float[Array, ""],
    whites: Float[Array, "draws D D"],
    level: Float[Array, ""],
    shared: int = 0,
) -> Calibration:
    """Find bias and intervals of the BROJA atoms of a sample covariance.

    The informations have an exact bias. What sampling distorts beyond them is N = U_1 + U_2, the sum of |l| over the
    directions of the target (see `Contrast`), which reads high because sampling spreads l. The bias of N is that of
    the model found by `unsampled_contrast`.

    An interval has two kinds of ends. Towards sources that differ less it reaches as far as the corrected atom
    scatters, which is what the first order says. Towards sources that differ more it has to reach farther: differences
    too small to be seen may be anywhere, and where they are the corrected atom misses them. That end comes from a path
    of models, from as little spread of l as may be to more than the data show: it is where the observed atom is as
    extreme as the level allows among samples of a model. So does the other end where the first order sees nothing.

    Where one source knows more in every direction, N = |D| with D = I_2 − I_1, and D is known as well as the
    informations are. So along the path models keep the observed D: where theirs is another all l are moved, which
    changes N by the mean sign of l, and of the scatter of N that part is left out which moves all l of a sample.

    Args:
        cov: The sample covariance, positive definite but for what is `shared`.
        dims: (d1, d2, dt).
        freedom: n − 1.
        whites: Factors of white Wishart matrices, see `WhiteFactors`.
        level: Probability that an interval is to hold the truth.
        shared: Number of leading coordinates of source_2 that are linear functions of source_1.

    Source: the test inversion is that of Neyman (1937), Phil. Trans. R. Soc. A 236, 333; docs/decisions/0016 has the
    choice of the path and what was measured.
    """
    fitted = find_typical(cov, dims, freedom, whites[::SEARCH], shared)
    frame, unsampled, corrected, bias = fitted.frame, fitted.unsampled, fitted.information, fitted.bias
    dense = frame.contrast.half_log_ratio
    knots = jnp.stack([unsampled.least, unsampled.half_log_ratio, dense, dense + WIDER * unsampled.spread])

    sides = (1 - level) / 2

    def show(place: Array) -> _Shown:
        first = jnp.clip(jnp.floor(place).astype(int), 0, len(knots) - 2)
        half_log_ratio = knots[first] + (place - first) * (knots[first + 1] - knots[first])
        return _show(frame, half_log_ratio, whites, corrected, bias, sides)

    places = jnp.asarray(PLACES)
    shown = lax.map(show, places)
    reads_high = shown.mean[ESTIMATE]
    unique = jnp.abs(fitted.observed).sum()
    along = jax.vmap(partial(compose_atoms, corrected))(shown.unique)
    seen, atoms = compose_atoms(corrected, unique), compose_atoms(corrected, unique - reads_high)
    each = (shown.low.T, shown.high.T, shown.scatter.T, shown.deviation.T)
    first_order = first_order_scatter(fitted.sampled, freedom)
    rows = (_in_rows(_SIGNS), *each, *map(_in_rows, (along, seen, atoms, first_order)))
    ends = jax.vmap(partial(_ends, places=places, quantile=-ndtri(sides)))(*rows)
    lower, upper = (jax.tree.unflatten(jax.tree.structure(_SIGNS), list(end)) for end in ends)
    return Calibration(
        bias=compose_atoms(bias, reads_high),
        information_bias=bias,
        lower=jax.tree.map(jnp.minimum, lower, atoms),
        upper=jax.tree.map(jnp.maximum, upper, atoms),
    )


def _show(
    frame: Frame,
    half_log_ratio: Float[Array, "dt"],
    whites: Float[Array, "draws D D"],
    corrected: Information,
    bias: Information,
    sides: Array,
) -> _Shown:
    channels = frame.replaced(half_log_ratio)
    truth = information_of_gains(*all_gains(channels))
    unique = jnp.abs(half_log_ratios(channels.gain_1, channels.gain_2)).sum()
    sampled, ratios = sampled_amounts(channels, whites)
    error = jax.tree.map(lambda one, off, true: one - off - true, sampled, bias, truth)
    by_difference = error.i_2 - error.i_1
    # How N changes if all l are moved so that D grows by one, in the model and in its samples.
    tilt, sampled_tilt = jnp.sign(half_log_ratio).mean(), jnp.sign(ratios).mean()
    reads_high = jnp.abs(ratios).sum(axis=-1) - unique - (sampled_tilt - tilt) * by_difference
    off, tail = _in_rows(compose_atoms(error, reads_high)), _tail(sides, len(whites))
    low, high = jnp.quantile(off, jnp.stack([tail, 1 - tail]), axis=1)
    return _Shown(
        unique=unique + tilt * (corrected.i_2 - corrected.i_1 - truth.i_2 + truth.i_1),
        mean=reads_high.mean(),
        low=low,
        high=high,
        scatter=off.std(axis=1),
        deviation=_in_rows(compose_atoms(error, tilt * by_difference)).std(axis=1),
    )


def _in_rows(atoms: PIDAtoms) -> Float[Array, "4 ..."]:
    return jnp.stack(jax.tree.leaves(atoms))


def _tail(probability: Array, count: int) -> Array:
    """Say which quantile of some draws a new one passes with the given probability: the k-th with k / (count + 1)."""
    return jnp.maximum(probability * (count + 1) - 1, 0) / (count - 1)


def _ends(
    sign: Array,
    low: Array,
    high: Array,
    scatter: Array,
    deviation: Array,
    path: Array,
    seen: Array,
    atom: Array,
    first_order: Array,
    *,
    places: Array,
    quantile: Array,
) -> tuple[Array, Array]:
    """Find the ends of the interval of one atom.

    Args:
        sign: Whether the atom grows or falls along the path.
        low: Lower quantiles of its errors along the path.
        high: Upper quantiles.
        scatter: Standard deviations of its errors.
        deviation: Standard deviations of what does not change along the path.
        path: The atom along the path, given the informations.
        seen: The atom of the sample covariance, with informations without bias.
        atom: The atom without bias.
        first_order: Its `first_order_scatter`.
        places: Places on the path.
        quantile: Normal quantile of the level.
    """

    def end(error: Array) -> Array:
        # Atom plus error passes the atom that was seen at one place; the ends of the path stand for what lies beyond.
        rising = lax.cummax(sign * (path + error - seen)) + 1e-12 * places
        return seen - jnp.interp(jnp.interp(0.0, rising, places), places, error)

    grows = sign > 0
    near, far = jnp.where(grows, high, low), jnp.where(grows, low, high)
    # No model has less spread than the start of the path: there only the informations are uncertain.
    start = path[0] + sign * quantile * deviation[0]
    more = sign * jnp.maximum(sign * end(far), sign * start)
    is_seen = first_order > LEAST_SHARE * scatter[ESTIMATE]
    less = jnp.where(is_seen, atom - sign * quantile * first_order, end(near))
    return jnp.where(grows, less, more), jnp.where(grows, more, less)


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
