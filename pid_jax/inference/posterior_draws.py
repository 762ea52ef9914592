"""Draws of the scatter matrix of latents from its posterior, and their decompositions."""

import dataclasses
import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from pid_jax.decompose.pid import solve_pid
from pid_jax.gaussian.information import Information
from pid_jax.gaussian.range import is_singular
from pid_jax.gaussian.status import Status
from pid_jax.gaussian.student import student_scatter, tail_information
from pid_jax.gaussian.wishart import WhiteFactors
from pid_jax.inference.chains import FRAME, gaussian_evidence, run_chains, student_evidence
from pid_jax.pid.atoms import PIDQuantities, quantities_of
from pid_jax.pid.measure import Redundancy
from pid_jax.runtime.by_type import by_type
from pid_jax.runtime.precision import double_precision
from pid_jax.runtime.threads import one_blas_thread
from pid_jax.settings.posterior import (
    NUTS,
    Conjugate,
    GaussianLikelihood,
    InverseWishart,
    Likelihood,
    Prior,
    Sampler,
    StudentTLikelihood,
)

# Memory for decompositions that exist at a time, and arrays as large as all their covariances.
BUDGET_BYTES, COPIES = 5e8, 30


@dataclass(frozen=True, kw_only=True)
class Draws:
    """What was drawn for one problem, one chain after another.

    Attributes:
        quantities: Atoms and informations (draws,) in nats; NaN where a draw has none.
        tail: What the sources tell through the common scale (draws,).
        freedom: Degrees of freedom (draws,); None for a Gaussian likelihood.
        failed: Draws without a decomposition.
        diverging: Steps of chains that diverged.
    """

    quantities: PIDQuantities
    tail: Information
    freedom: np.ndarray | None
    failed: int
    diverging: int


def draw_problem(
    latents: np.ndarray,
    dims: tuple[int, int, int],
    redundancy: Redundancy,
    key: jax.Array,
    likelihood: Likelihood,
    prior: Prior,
    sampler: Sampler,
    draws: int,
) -> Draws:
    """Draw from the posterior of one problem, latents (n, D), and decompose every draw.

    The number of draws is a multiple of that of the chains.
    """
    diverging, freedom = 0, None
    if by_type("sampler", sampler, {NUTS: True, Conjugate: False}):
        assert isinstance(sampler, NUTS)
        cov, freedom, diverging = _sample(latents, likelihood, prior, sampler, draws, key)
    else:
        assert isinstance(prior, InverseWishart)
        cov = conjugate_covariances(np.cov(latents, rowvar=False), len(latents), prior.excess, draws, key)
    if isinstance(likelihood, StudentTLikelihood) and likelihood.freedom is not None:
        freedom = np.full(draws, float(likelihood.freedom))
    quantities, failed = _decompose(cov, dims, redundancy)
    return Draws(
        quantities=quantities,
        tail=_tail(freedom, dims, draws),
        freedom=freedom,
        failed=failed,
        diverging=diverging,
    )


def conjugate_covariances(cov: np.ndarray, samples: int, excess: float, draws: int, key: jax.Array) -> np.ndarray:
    """Draw covariances (draws, D, D) from an inverse Wishart posterior.

    Σ = (n − 1) A W⁻ᵀ W⁻¹ Aᵀ with A Aᵀ the sample covariance and W Wᵀ a white Wishart matrix of n − 1 + excess degrees
    of freedom, where `excess` is that of the prior.

    Source: A. Gelman et al. (2013), Bayesian Data Analysis, third edition, section 3.6.
    """
    size = cov.shape[-1]
    with one_blas_thread(size):
        white = WhiteFactors(key, size, samples - 1 + excess).draw(draws)
        half = math.sqrt(samples - 1) * np.linalg.solve(white, np.linalg.cholesky(cov).T)
        return np.swapaxes(half, -1, -2) @ half


def _sample(
    latents: np.ndarray, likelihood: Likelihood, prior: Prior, sampler: NUTS, draws: int, key: jax.Array
) -> tuple[np.ndarray, np.ndarray | None, int]:
    """Run chains; return scatter matrices, degrees of freedom and the number of divergences."""
    n, size = latents.shape
    with double_precision(), one_blas_thread(size):
        if by_type("likelihood", likelihood, {StudentTLikelihood: True, GaussianLikelihood: False}):
            assert isinstance(likelihood, StudentTLikelihood)
            known = None if likelihood.freedom is None else jnp.asarray(likelihood.freedom, float)
            evidence = student_evidence(latents, known)
        else:
            evidence = gaussian_evidence(np.cov(latents, rowvar=False), float(n - 1))
        cov, freedom, diverging = run_chains(
            key,
            evidence,
            tuple(float(x) for x in dataclasses.astuple(prior)),
            prior=type(prior),
            warmup=int(sampler.warmup),
            chains=int(sampler.chains),
            thinning=int(sampler.thinning),
            draws=int(draws) // int(sampler.chains),
        )
        freedom = None if freedom is None else np.asarray(freedom).ravel()
        return np.asarray(cov).reshape(-1, size, size), freedom, int(diverging)


def _decompose(cov: np.ndarray, dims: tuple[int, int, int], redundancy: Redundancy) -> tuple[PIDQuantities, int]:
    """Decompose all draws, some at a time, and count those that have no decomposition."""
    at_once = int(max(1, BUDGET_BYTES // (8 * COPIES * cov.shape[-1] ** 2)))
    parts = [solve_pid(cov[first : first + at_once], dims, redundancy) for first in range(0, len(cov), at_once)]
    found = jax.tree.map(lambda *each: np.concatenate(each), *parts)
    has_failed = found.status != Status.OK
    quantities = quantities_of(found.atoms, found.information)
    return jax.tree.map(lambda x: np.where(has_failed, np.nan, x), quantities), int(has_failed.sum())


def _tail(freedom: np.ndarray | None, dims: tuple[int, int, int], draws: int) -> Information:
    if freedom is None:
        return Information(i_1=np.zeros(draws), i_2=np.zeros(draws), i_12=np.zeros(draws))
    with double_precision():
        return jax.tree.map(np.asarray, tail_information(jnp.asarray(freedom), dims))


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
