"""Normal scores of ranks: the Gaussian copula."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from pid_jax.estimate.gaussianizer import FitOptions, GaussianizerRecord, Latents
from pid_jax.flow.marginal import QUARTILES, gaussianize_copula
from pid_jax.reduce.pca import Reduced
from pid_jax.runtime.arrays import side_by_side
from pid_jax.runtime.devices import map_problems, over_devices
from pid_jax.runtime.precision import double_precision
from pid_jax.settings.gaussianize import Copula

# Arrays as large as the scores of a problem that exist at a time while they are ranked.
COPIES = 10


def _fit(reduced: Sequence[Reduced], copula: Copula, _: FitOptions) -> Latents:
    return Latents.of(copula, normal_scores(reduced, copula))


COPULA = GaussianizerRecord(name="copula", label="rank copula", default=Copula(), fit=_fit, is_ranked=True)


def normal_scores(reduced: Sequence[Reduced], spec: Copula) -> np.ndarray:
    """Map each coordinate of all variables to normal scores, and put the variables side by side."""
    with double_precision():
        return side_by_side([_rank_variable(one, spec.tie_tolerance) for one in reduced])


def _rank_variable(reduced: Reduced, tie_tolerance: float) -> np.ndarray:
    scores = np.asarray(reduced.scores)
    rank = partial(_rank, tie=np.float64(tie_tolerance), is_tolerant=tie_tolerance > 0)
    return map_problems(rank, scores, np.asarray(reduced.rounding), bytes_each=COPIES * scores[0].nbytes)


@partial(jax.jit, static_argnames=("is_tolerant", "mesh"))
def _rank(
    scores: Float[Array, "B n d"], rounding: Float[Array, "B n"], *, tie: Array, is_tolerant: bool, mesh: Mesh | None
) -> Float[Array, "B n d"]:
    def one(x: Float[Array, "n d"], rounding: Float[Array, "n"]) -> Float[Array, "n d"]:
        noise = rounding[:, None]
        if is_tolerant:
            low, high = jnp.quantile(x, jnp.asarray([0.25, 0.75]), axis=0)
            noise = noise + tie * (high / QUARTILES - low / QUARTILES)
        return gaussianize_copula(x, noise)

    return over_devices(jax.vmap(one), mesh)(scores, rounding)
