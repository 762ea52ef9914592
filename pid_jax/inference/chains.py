"""Chains of NUTS over the scatter matrix of latents, by NumPyro, and whether they agree.

Σ = A G⁻¹ G⁻ᵀ Aᵀ, with A the Cholesky factor of what the latents at hand show and G lower triangular. For a Gaussian
likelihood with `InverseWishart` the entries of G below the diagonal are independent normal with variance 1/(n − 1)
(Bartlett 1933), and otherwise nearly so: coordinates in these units have a posterior close to a white normal
distribution, and steps of length about one get anywhere.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import gammaln
from jaxtyping import Array, Float, Int
from scipy.special import ndtri
from scipy.stats import rankdata

from pid_jax.gaussian.linalg import cholesky, invert_lower, solve_lower
from pid_jax.gaussian.student import student_scatter
from pid_jax.settings.posterior import LKJ, InverseWishart

# Chains start normally distributed around what the latents show, with these times the posterior's standard deviation.
START_SPREAD = 2.0
# Those that start to infer degrees of freedom: between 4 and 25 mostly. Scatter matrices start at that of FRAME.
START_FREEDOM, START_LOG_SPREAD, FRAME = 10.0, 0.5, 4.0
# Shape and rate of the prior of degrees of freedom (Juárez & Steel 2010).
SHAPE, RATE = 2.0, 0.1
# Acceptance that step sizes are adapted to: Stan's and NumPyro's choice.
ACCEPTANCE = 0.8


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the latents of one problem say.

    Attributes:
        root: The lower Cholesky factor A.
        count: Degrees of freedom of A Aᵀ, n − 1, for a Gaussian likelihood; n for a Student-t likelihood.
        rows: For a Student-t likelihood the latents (n, D), whitened by A; None for a Gaussian one.
        freedom: Degrees of freedom of the Student-t likelihood; None to infer them.
    """

    root: Float[Array, "D D"]
    count: Float[Array, ""]
    rows: Float[Array, "n D"] | None = None
    freedom: Float[Array, ""] | None = None


@jax.jit
def gaussian_evidence(cov: Float[Array, "D D"], count: Float[Array, ""]) -> Evidence:
    """Prepare a sample covariance of `count` degrees of freedom for a Gaussian likelihood."""
    return Evidence(root=cholesky(cov), count=count)


@jax.jit
def student_evidence(rows: Float[Array, "n D"], freedom: Float[Array, ""] | None) -> Evidence:
    """Prepare latents for a Student-t likelihood; `freedom` is None to infer it."""
    location, root = student_scatter(rows, FRAME if freedom is None else freedom)
    count = jnp.asarray(rows.shape[0], rows.dtype)
    return Evidence(root=root, count=count, rows=solve_lower(root, (rows - location).T).T, freedom=freedom)


@partial(jax.jit, static_argnames=("prior", "warmup", "chains", "thinning", "draws"))
def run_chains(
    key: Array,
    evidence: Evidence,
    numbers: tuple[Float[Array, ""], ...],
    *,
    prior: type,
    warmup: int,
    chains: int,
    thinning: int,
    draws: int,
) -> tuple[Float[Array, "chains draws D D"], Float[Array, "chains draws"] | None, Int[Array, ""]]:
    """Sample the scatter matrix of one problem.

    Args:
        key: A JAX random key.
        evidence: What the latents say.
        numbers: The fields of the prior.
        prior: `InverseWishart` or `LKJ`.
        warmup: Steps that adapt and are not kept.
        chains: Number of chains.
        thinning: Steps to a draw.
        draws: Draws of each chain.

    Returns:
        Draws of the scatter matrix and of the degrees of freedom, None where these are not inferred; and the number of
        steps after the warmup that left the level set of the energy. Whether the chains agree is for the caller to see.
    """
    from numpyro.infer import NUTS  # its import takes half a second

    for_start, for_chains = jax.random.split(key)
    start = _start(for_start, evidence, chains)
    arguments = (evidence, numbers, prior)
    kernel = NUTS(_model, target_accept_prob=ACCEPTANCE)
    state = kernel.init(jax.random.split(for_chains, chains), warmup, start, arguments, {})

    def step(state: Any, _: None) -> tuple[Any, Any]:
        state = kernel.sample(state, arguments, {})
        return state, (state.z, state.diverging)

    # One loop: a second one for the warmup alone would be compiled again.
    _, kept = lax.scan(step, state, length=warmup + thinning * draws)
    z = jax.tree.map(lambda x: jnp.swapaxes(x[warmup + thinning - 1 :: thinning], 0, 1), kept[0])
    factor = jax.vmap(jax.vmap(lambda one: _scatter_factor(evidence, one)))(z["coordinates"])
    cov = factor @ jnp.swapaxes(factor, -1, -2)
    freedom = jnp.exp(z["log_freedom"]) if "log_freedom" in z else None
    return cov, freedom, kept[1][warmup:].sum()


def _start(key: Array, evidence: Evidence, chains: int) -> dict[str, Array]:
    size, dtype = evidence.root.shape[0], evidence.root.dtype
    for_factor, for_location, for_freedom = jax.random.split(key, 3)
    start = {"coordinates": START_SPREAD * jax.random.normal(for_factor, (chains, _length(size)), dtype)}
    if evidence.rows is not None:
        start["location"] = START_SPREAD * jax.random.normal(for_location, (chains, size), dtype)
        if evidence.freedom is None:
            spread = START_LOG_SPREAD * jax.random.normal(for_freedom, (chains,), dtype)
            start["log_freedom"] = np.log(START_FREEDOM) + spread
    return start


def _length(size: int) -> int:
    return size * (size + 1) // 2


def _model(evidence: Evidence, numbers: tuple[Array, ...], prior: type) -> None:
    """Tell NumPyro the density of the coordinates."""
    import numpyro

    coordinates = _flat("coordinates", (_length(evidence.root.shape[0]),))
    G, log_volume = _precision_factor(coordinates, evidence.count)
    numpyro.factor("prior", _log_prior(evidence.root, G, numbers, prior) + log_volume)
    if evidence.rows is None:
        numpyro.factor("likelihood", evidence.count * (jnp.log(jnp.diag(G)).sum() - 0.5 * (G**2).sum()))
        return
    location = _flat("location", (evidence.root.shape[0],)) / jnp.sqrt(evidence.count)
    freedom = evidence.freedom
    if freedom is None:
        log_freedom = _flat("log_freedom", ())
        freedom = jnp.exp(log_freedom)
        numpyro.factor("prior_of_freedom", SHAPE * log_freedom - RATE * freedom)
    numpyro.factor("likelihood", _student_log_likelihood(evidence.rows - location, G, freedom))


def _flat(name: str, shape: tuple[int, ...]) -> Any:
    """Let NumPyro sample a real array without a density of its own."""
    import numpyro
    from numpyro.distributions import ImproperUniform, constraints

    support = constraints.real_vector if shape else constraints.real
    return numpyro.sample(name, ImproperUniform(support, (), shape))


def _precision_factor(coordinates: Float[Array, "m"], count: Array) -> tuple[Float[Array, "D D"], Float[Array, ""]]:
    """Make G from coordinates, and the logarithm of the volume that they take, up to a constant.

    The diagonal is exp(y / √(2n)), the rest y / √n; each has about the posterior's standard deviation as its unit.
    """
    size = round((np.sqrt(8 * coordinates.shape[0] + 1) - 1) / 2)
    logs = coordinates[:size] / jnp.sqrt(2 * count)
    rows, columns = np.tril_indices(size, -1)
    G = jnp.diag(jnp.exp(logs)).at[rows, columns].set(coordinates[size:] / jnp.sqrt(count))
    return G, logs.sum()


def _scatter_factor(evidence: Evidence, coordinates: Float[Array, "m"]) -> Float[Array, "D D"]:
    """Compute the lower Cholesky factor A G⁻¹ of Σ."""
    return evidence.root @ invert_lower(_precision_factor(coordinates, evidence.count)[0])


def _log_prior(root: Array, G: Array, numbers: tuple[Array, ...], prior: type) -> Float[Array, ""]:
    """Compute log p(Σ) |dΣ/dG|, up to a constant.

    With |Σ| = |A|² Π g_i⁻² and Σ⁻¹ = A⁻ᵀ GᵀG A⁻¹, |dΣ/dG| ∝ Π g_i^(i − 2 (D + 1)), i = 1 ... D.
    """
    size, logs = G.shape[0], jnp.log(jnp.diag(G))
    log_volume = ((jnp.arange(1, size + 1) - 2 * (size + 1)) * logs).sum()
    if prior is InverseWishart:
        (excess,) = numbers
        return log_volume + (size + 1 + excess) * logs.sum()
    if prior is not LKJ:
        raise TypeError(f"prior needs InverseWishart() or LKJ() here, got {prior.__name__}.")
    # Σ = diag(s) R diag(s) in units of the latents at hand, with |dΣ| = Π 2 s_i^D ds dR.
    concentration, scale = numbers
    standard = root / jnp.linalg.norm(root, axis=1, keepdims=True)
    deviations = jnp.linalg.norm(standard @ invert_lower(G), axis=1)
    log_determinant = -2 * (logs.sum() + jnp.log(deviations).sum())
    log_cauchy = -jnp.log1p((deviations / scale) ** 2) - size * jnp.log(deviations)
    return log_volume + (concentration - 1) * log_determinant + log_cauchy.sum()


def _student_log_likelihood(rows: Float[Array, "n D"], G: Float[Array, "D D"], freedom: Array) -> Float[Array, ""]:
    n, size = rows.shape
    square = ((rows @ G.T) ** 2).sum(axis=1)
    norm = gammaln((freedom + size) / 2) - gammaln(freedom / 2) - size / 2 * jnp.log(freedom)
    return n * (norm + jnp.log(jnp.diag(G)).sum()) - (freedom + size) / 2 * jnp.log1p(square / freedom).sum()


def potential_scale_reduction(chains: Float[np.ndarray, "chains draws ..."]) -> Float[np.ndarray, "..."]:
    """Compute R̂ of normalized ranks of split chains, the larger of that of values and of distances to the median.

    Args:
        chains: Draws of each chain, at least four.

    Returns:
        R̂, close to 1 if the chains agree, infinite if none of them moves; NaN where a draw is, or where all are the
        same.

    Source: A. Vehtari, A. Gelman, D. Simpson, B. Carpenter, P.-C. Bürkner (2021), Bayesian Anal. 16, 667.
    """
    folded = np.abs(chains - np.median(chains, axis=(0, 1)))
    return np.maximum(_of_halves(_normalized_ranks(chains)), _of_halves(_normalized_ranks(folded)))


def effective_draws(chains: Float[np.ndarray, "chains draws ..."]) -> Float[np.ndarray, "..."]:
    """Compute how many independent draws tell as much about the middle of the distribution: the bulk ESS.

    It can be more than there are draws, where chains go back and forth.

    Args:
        chains: Draws of each chain, at least four.

    Returns:
        The number; NaN where a draw is, or where all are the same.

    Source: as `potential_scale_reduction`.
    """
    from numpyro.diagnostics import effective_sample_size  # its import takes half a second

    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(effective_sample_size(_halves(_normalized_ranks(chains))))


def _halves(chains: np.ndarray) -> np.ndarray:
    half = chains.shape[1] // 2
    return np.concatenate([chains[:, :half], chains[:, -half:]])


def _normalized_ranks(chains: np.ndarray) -> np.ndarray:
    """Replace draws by normal quantiles of their ranks among all of them; NaN where one is."""
    count = chains.shape[0] * chains.shape[1]
    ranks = rankdata(chains.reshape(count, -1), axis=0, nan_policy="propagate")
    return ndtri((ranks - 0.375) / (count + 0.25)).reshape(chains.shape)


def _of_halves(chains: np.ndarray) -> np.ndarray:
    halves = _halves(chains)
    within, between = halves.var(axis=1, ddof=1).mean(axis=0), halves.mean(axis=1).var(axis=0, ddof=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(1 - 1 / halves.shape[1] + between / within)
