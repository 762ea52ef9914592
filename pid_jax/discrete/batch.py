"""Union information of many pairs of tables: in one compiled program, on all devices of the layout."""

from functools import partial

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Float

from pid_jax.discrete.union import UnionSolution, solve_union
from pid_jax.runtime.devices import map_problems, over_devices
from pid_jax.runtime.precision import double_precision
from pid_jax.runtime.threads import one_blas_thread

MAX_STEPS = 60
# Problems are solved in blocks of one of these sizes, whatever their number, so that few programs are compiled.
BLOCKS = (8, 32)


def solve_unions(
    p_1: Float[np.ndarray, "P A K"], p_2: Float[np.ndarray, "P B K"], tol: Float[np.ndarray, "P"]
) -> UnionSolution:
    """Bound the union information of every pair of tables; see `solve_union`.

    Args:
        p_1: Joint tables of source_1's cells and the classes.
        p_2: Joint tables of source_2's cells and the classes.
        tol: Width in nats at which bounds are close enough, of each problem.

    Returns:
        Bounds, dual variables and steps of each problem, as NumPy arrays.
    """
    count = len(tol)
    size = next((size for size in BLOCKS if count <= size), BLOCKS[-1])
    padding = -count % size  # empty tables take no step
    tables = [np.pad(p, ((0, padding), (0, 0), (0, 0))) for p in (p_1, p_2)]
    batches = (*tables, np.pad(tol, (0, padding), constant_values=1.0))
    with double_precision(), one_blas_thread(p_1.shape[-1] * min(p_1.shape[-2], p_2.shape[-2])):
        starts = range(0, count + padding, size)
        blocks = [map_problems(_solve, *(x[first : first + size] for x in batches)) for first in starts]
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *blocks)


@partial(jax.jit, static_argnames=("mesh",))
def _solve(
    p_1: Float[Array, "P A K"], p_2: Float[Array, "P B K"], tol: Float[Array, "P"], *, mesh: Mesh | None
) -> UnionSolution:
    def one(problem: tuple[Array, Array, Array]) -> UnionSolution:
        return solve_union(*problem, max_steps=MAX_STEPS)

    # On a CPU, problems that are solved one by one stop each after their own number of steps.
    return over_devices(lambda *batches: lax.map(one, batches), mesh)(p_1, p_2, tol)
