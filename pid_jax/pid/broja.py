"""BROJA unique information of jointly Gaussian variables, in closed form and certified."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

from pid_jax.gaussian.information import information_of
from pid_jax.gaussian.joint import JointGaussian
from pid_jax.gaussian.whiten import whiten
from pid_jax.gaussian.whitened import WhitenedGaussian
from pid_jax.pid.atoms import PIDSolution, solution
from pid_jax.pid.calibration import calibrate_broja
from pid_jax.pid.conditional import conditional_contrast, restrict_target
from pid_jax.pid.coupling import coupled_information, estimate_covariance
from pid_jax.pid.measure import Measure, Redundancy


@dataclass(frozen=True)
class BROJA(Redundancy):
    """Unique information of Bertschinger et al. (2014), exact for jointly Gaussian variables.

    Attributes:
        rank_cut: Directions of a variable whose variance is below this fraction of its largest are dropped.
    """


def pid_broja(joint: JointGaussian, rank_cut: float = 1e-13) -> PIDSolution:
    """Decompose by the union information min_q I_q(target; source_1, source_2).

    q runs over all distributions with the pairwise (source_k, target) marginals of the data. With A = Σ_t|1, B = Σ_t|2
    the conditional covariances of the target and δ the eigenvalues of the pencil (A − B, A + B),

        U_1 = Σ max(0, artanh(−δ))        U_2 = Σ max(0, artanh δ).

    Args:
        joint: One joint Gaussian with two sources; vmap for more problems.
        rank_cut: Directions with less than this fraction of a variable's largest variance are dropped.

    Returns:
        The decomposition in nats. `gap` is the information of a coupling with the right marginals, an upper bound on
        the union information, minus the closed form: what can be wrong in either, given the whitened covariance. It
        counts as a constant under differentiation. Everything else has finite first derivatives, which at δ = 0, where
        the atoms have a kink, are the mean of both sides.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from pid_jax import JointGaussian, pid_broja
        >>> cov = jnp.array([[2.0, 1.0, 1.0], [1.0, 2.0, 1.0], [1.0, 1.0, 1.0]])  # two noisy copies of the target
        >>> synergy = lambda cov: pid_broja(JointGaussian(cov, (1, 1, 1))).atoms.synergy
        >>> print(f"{jax.jit(synergy)(cov):.3f}")
        0.203

    Source: Bertschinger, Rauh, Olbrich, Jost & Ay (2014), Entropy 16(4), 2161, for the measure; docs/theory.md for
    the closed form and its proof.
    """
    return broja_of(whiten(joint, rank_cut))


def broja_of(whitened: WhitenedGaussian) -> PIDSolution:
    """Decompose whitened variables, see `pid_broja`."""
    information = information_of(whitened)
    cross_1, cross_2 = restrict_target(whitened.cross)
    contrast = conditional_contrast(cross_1, cross_2)
    half_log_ratio = jnp.arctanh(contrast.contrast)
    unique_1 = jnp.maximum(-half_log_ratio, 0).sum()
    unique_2 = jnp.maximum(half_log_ratio, 0).sum()
    union = 0.5 * ((information.i_1 + unique_2) + (information.i_2 + unique_1))
    fixed_1, fixed_2, fixed = jax.tree.map(lax.stop_gradient, (cross_1, cross_2, contrast))
    upper = coupled_information(fixed_1, fixed_2, estimate_covariance(fixed_1, fixed_2, fixed))
    return solution(information, unique_1, unique_2, whitened, gap=upper - lax.stop_gradient(union))


MEASURE = Measure(
    settings=BROJA,
    name="broja",
    label="BROJA",
    solve=broja_of,
    unique=lambda information, half_log_ratios: jnp.abs(half_log_ratios).sum(axis=-1),
    calibrate=calibrate_broja,
    remark="counts as unique the least that a source can add to what the other tells, over all joint distributions "
    "that keep both pairs (source, target) as they are.",
)
