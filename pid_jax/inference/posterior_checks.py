"""Checks of what a posterior is asked of."""

import jax
import jax.numpy as jnp
import numpy as np

from pid_jax.gaussian.range import is_singular
from pid_jax.gaussian.student import student_scatter
from pid_jax.inference.chains import FRAME
from pid_jax.inference.intervals import check_enough_draws
from pid_jax.runtime.precision import double_precision
from pid_jax.settings.estimate import PIDSpec, SampleCovariance
from pid_jax.settings.posterior import (
    LKJ,
    NUTS,
    Conjugate,
    GaussianLikelihood,
    InverseWishart,
    Likelihood,
    StudentTLikelihood,
)

# Draws that a chain needs for its R̂ to be defined.
FEWEST_OF_A_CHAIN = 4


def check_settings(spec: PIDSpec, likelihood: object, prior: object, sampler: object, draws: int, level: float) -> None:
    """Refuse settings of the wrong kind, and such that do not fit together."""
    if not isinstance(likelihood, (GaussianLikelihood, StudentTLikelihood)):
        raise TypeError(f"likelihood needs GaussianLikelihood() or StudentTLikelihood(), got {likelihood!r}.")
    if not isinstance(prior, (InverseWishart, LKJ)):
        raise TypeError(f"prior needs InverseWishart() or LKJ(), got {prior!r}.")
    if not isinstance(sampler, (Conjugate, NUTS)):
        raise TypeError(f"sampler needs Conjugate() or NUTS(), got {sampler!r}.")
    if not isinstance(spec.covariance, SampleCovariance):
        raise ValueError(
            f"spec needs covariance=SampleCovariance(), got {type(spec.covariance).__name__}: a posterior has a prior "
            "in place of shrinkage; use prior=LKJ() to prefer weak correlations."
        )
    is_gaussian = isinstance(likelihood, GaussianLikelihood)
    if isinstance(sampler, Conjugate) and not (is_gaussian and isinstance(prior, InverseWishart)):
        raise ValueError(
            "sampler=Conjugate() needs likelihood=GaussianLikelihood() and prior=InverseWishart(), got "
            f"{likelihood!r} and {prior!r}: their posterior has no exact draws; use NUTS()."
        )
    check_enough_draws("draws", draws, level)
    if isinstance(sampler, NUTS) and (draws % sampler.chains or draws < FEWEST_OF_A_CHAIN * sampler.chains):
        raise ValueError(
            f"draws={draws} needs a multiple of the {sampler.chains} chains, and at least {FEWEST_OF_A_CHAIN} for each "
            f"chain: use {max(FEWEST_OF_A_CHAIN, -(-draws // sampler.chains)) * sampler.chains}."
        )


def check_full_rank(latents: np.ndarray, leading: tuple[int, ...], likelihood: Likelihood) -> None:
    """Refuse latents whose scatter matrix is singular: it has no density.

    For a Gaussian likelihood that is the covariance. For a Student-t likelihood it is the robust one at which chains
    start: to a covariance, a single row that is far out makes all coordinates look like functions of each other.
    """
    bad = np.flatnonzero(is_singular(np.stack([_scatter(one, likelihood) for one in latents])))
    if bad.size:
        first = tuple(int(i) for i in np.unravel_index(bad[0], leading)) if leading else ()
        at = f" in problem {first}" if first else ""
        is_far = not is_singular(_scatter(latents[bad[0]], StudentTLikelihood())[None])[0]
        if is_far and isinstance(likelihood, GaussianLikelihood):
            raise ValueError(
                f"likelihood=GaussianLikelihood() got rows so far out{at} that columns look like linear functions of "
                "each other: remove these rows, or use StudentTLikelihood()."
            )
        raise ValueError(
            f"source_1, source_2 and target need columns that are no linear functions of each other, got such{at}: "
            "the posterior of their covariance has no density; remove them, or reduce with PCA() to fewer dims."
        )


def _scatter(latents: np.ndarray, likelihood: Likelihood) -> np.ndarray:
    if not isinstance(likelihood, StudentTLikelihood):
        return np.cov(latents, rowvar=False)
    freedom = FRAME if likelihood.freedom is None else likelihood.freedom
    with double_precision():
        root = np.asarray(_student_root(jnp.asarray(latents), float(freedom)))
    return root @ root.T


@jax.jit
def _student_root(latents: jax.Array, freedom: jax.Array) -> jax.Array:
    return student_scatter(latents, freedom)[1]
