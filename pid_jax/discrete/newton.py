"""The linear systems of the interior-point method: [diag q + Σ_ab w π πᵀ] (dλ, dμ) = rhs, by blocks of cells."""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
from jax import lax
from jax.scipy.sparse.linalg import cg
from jaxtyping import Array, Bool, Float

# Up to this size of the Schur complement, 128 cells of 100 classes, it is factored, in the memory of four such matrices
# (measured up to 8192). Larger ones are solved by conjugate gradients, which need no memory beyond that of a joint
# table, but end early: for a sparse table of 64 x 64 cells and 40 classes at a gap of 3e-5 nats, in 4 times the time.
DENSE_ROWS = 12_800
CG_STEPS, CG_TOLERANCE = 100, 1e-6

Pair = tuple[Float[Array, "K A"], Float[Array, "K B"]]
Solve = Callable[[Pair], Pair]


def newton_solver(
    q: Float[Array, "K A B"],
    pi: Float[Array, "K A B"],
    w: Float[Array, "A B"],
    kept: tuple[Bool[Array, "K A"], Bool[Array, "K B"]],
    ridge: Float[Array, ""],
) -> Solve:
    """Factor the system and return a function that solves it: exactly and refined once, or a large one iteratively.

    Args:
        q: Joint mass r π of each class in each pair of cells, 0 where it is not kept.
        pi: Share of the class in the pair of cells, likewise.
        w: Weight of π πᵀ in the pair, r / s − r.
        kept: The entries of λ and of μ that are variables; the others have identity rows.
        ridge: Added to the diagonal, relative to it.
    """
    classes, cells_2 = pi.shape[0], pi.shape[2]
    if classes * cells_2 > DENSE_ROWS:
        return _iterative_solver(q, pi, w, kept, ridge)
    once = _dense_solver(q, pi, w, kept, ridge)

    def solve(rhs: Pair) -> Pair:
        first = once(rhs)
        image = _multiply(q, pi, w, kept, first)
        more = once((rhs[0] - image[0], rhs[1] - image[1]))
        return first[0] + more[0], first[1] + more[1]

    return solve


def cell_sums(mass: Float[Array, "K A B"], kept: tuple[Bool[Array, "K A"], Bool[Array, "K B"]]) -> Pair:
    """Return the sums of a table over each source's cells, 0 where no variable is."""
    return jnp.where(kept[0], mass.sum(axis=2), 0), jnp.where(kept[1], mass.sum(axis=1), 0)


def _multiply(q: Array, pi: Array, w: Array, kept: tuple[Bool[Array, "K A"], Bool[Array, "K B"]], step: Pair) -> Pair:
    moved = step[0][:, :, None] + step[1][:, None, :]
    return cell_sums(pi * (w * (pi * moved).sum(axis=0)) + q * moved, kept)


def _blocks(
    q: Array, pi: Array, w: Array, kept: tuple[Bool[Array, "K A"], Bool[Array, "K B"]], ridge: Array
) -> tuple[Float[Array, "A K K"], Float[Array, "B K K"]]:
    """Return the blocks on the diagonal, one for each cell."""
    weighted, eye = pi * w, jnp.eye(pi.shape[0])
    of_a = jnp.einsum("yab,zab->ayz", weighted, pi) + eye * jnp.where(kept[0], q.sum(axis=2), 1).T[:, :, None]
    of_b = jnp.einsum("yab,zab->byz", weighted, pi) + eye * jnp.where(kept[1], q.sum(axis=1), 1).T[:, :, None]
    return _with_ridge(of_a, ridge), _with_ridge(of_b, ridge)


def _with_ridge(blocks: Float[Array, "n K K"], ridge: Array) -> Float[Array, "n K K"]:
    tiny = jnp.finfo(blocks.dtype).tiny
    return blocks + jnp.eye(blocks.shape[-1]) * (ridge * _diagonal(blocks) + tiny)[:, :, None]


def _diagonal(blocks: Float[Array, "n K K"]) -> Float[Array, "n K"]:
    return jnp.diagonal(blocks, axis1=-2, axis2=-1)


def _inverse_factor(blocks: Float[Array, "n K K"]) -> Float[Array, "n K K"]:
    """Return L⁻¹ of each block L Lᵀ: products with it are far cheaper than solving many systems of small matrices."""
    eye = jnp.broadcast_to(jnp.eye(blocks.shape[-1]), blocks.shape)
    return lax.linalg.triangular_solve(jnp.linalg.cholesky(blocks), eye, left_side=True, lower=True)


def _dense_solver(
    q: Array, pi: Array, w: Array, kept: tuple[Bool[Array, "K A"], Bool[Array, "K B"]], ridge: Array
) -> Solve:
    """Eliminate λ cell by cell and factor the Schur complement on μ."""
    classes, cells_1, cells_2 = pi.shape
    eye, size = jnp.eye(classes), classes * cells_2
    of_a, of_b = _blocks(q, pi, w, kept, ridge)
    inverse = _inverse_factor(of_a)
    cross = (pi * w).transpose(1, 0, 2)[:, :, :, None] * pi.transpose(1, 2, 0)[:, None, :, :]
    cross = cross + eye[None, :, None, :] * q.transpose(1, 0, 2)[:, :, :, None]
    half = (inverse @ cross.reshape(cells_1, classes, size)).reshape(-1, size)
    # Without the barrier the transpose becomes part of the product, which then takes twice as long on a CPU.
    schur = -(lax.optimization_barrier(half.T) @ half).reshape(cells_2, classes, cells_2, classes)
    schur = schur + jnp.eye(cells_2)[:, None, :, None] * of_b[:, :, None, :]
    # A constant can move from λ(y, ·) to μ(y, ·): this makes it 0, at the scale of each row.
    scale = jnp.where(kept[1].T, _diagonal(of_b), 0)
    total = scale.sum(axis=0)
    scale = scale / jnp.sqrt(jnp.where(total > 0, total, 1))
    schur = schur + scale[:, :, None, None] * scale[None, None] * eye[None, :, None, :]
    factor = jnp.linalg.cholesky(schur.reshape(size, size))
    triangular = partial(lax.linalg.triangular_solve, factor, left_side=True, lower=True)

    def solve(rhs: Pair) -> Pair:
        u = jnp.einsum("ayz,za->ay", inverse, rhs[0]).reshape(-1)
        y = triangular(triangular((rhs[1].T.reshape(-1) - u @ half)[:, None]), transpose_a=True)[:, 0]
        x = jnp.einsum("azy,az->ya", inverse, (u - half @ y).reshape(cells_1, classes))
        return jnp.where(kept[0], x, 0), jnp.where(kept[1], y.reshape(cells_2, classes).T, 0)

    return solve


def _iterative_solver(
    q: Array, pi: Array, w: Array, kept: tuple[Bool[Array, "K A"], Bool[Array, "K B"]], ridge: Array
) -> Solve:
    """Solve the Schur complement on μ by conjugate gradients, preconditioned by its blocks."""
    inverse_a, inverse_b = (_inverse_factor(blocks) for blocks in _blocks(q, pi, w, kept, ridge))

    def apply(inverse: Array, x: Array) -> Array:
        return jnp.einsum("nzy,nz->yn", inverse, jnp.einsum("nzw,wn->nz", inverse, x))

    def off_diagonal(step: Pair) -> Pair:
        """Multiply by the blocks between the cells of the two sources."""
        on_1 = pi * (w * (pi * step[1][:, None, :]).sum(axis=0)) + q * step[1][:, None, :]
        on_2 = pi * (w * (pi * step[0][:, :, None]).sum(axis=0)) + q * step[0][:, :, None]
        return cell_sums(on_1, kept)[0], cell_sums(on_2, kept)[1]

    def schur(mu: Array) -> Array:
        zero = jnp.zeros_like(inverse_a[:, :, 0].T)
        full = _multiply(q, pi, w, kept, (zero, mu))
        lam = apply(inverse_a, full[0])
        return full[1] - off_diagonal((lam, mu))[1]

    def solve(rhs: Pair) -> Pair:
        lam = apply(inverse_a, rhs[0])
        reduced = rhs[1] - off_diagonal((lam, rhs[1]))[1]
        found, _ = cg(schur, reduced, tol=CG_TOLERANCE, maxiter=CG_STEPS, M=partial(apply, inverse_b))
        mu: Array = jnp.where(kept[1], found, 0)  # pyright: ignore[reportAssignmentType]
        lam = lam - apply(inverse_a, off_diagonal((lam, mu))[0])
        return jnp.where(kept[0], lam, 0), mu

    return solve
