"""Percentiles of shares among null systems, as noise grows and structure stays."""

from collections.abc import Callable
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from benchmarks.measure import cpu_seconds
from benchmarks.problems import covariances, draw
from benchmarks.record import write_results
from benchmarks.tables import Row, collect
from pid_jax import (
    NoGaussianization,
    NoReduction,
    PIDSpec,
    bootstrap_pid,
    discrete_pid,
    estimate_pid,
    gaussian_pid,
    normalize_class_shares,
    normalize_shares,
)
from pid_jax.decompose.result import ATOMS
from pid_jax.gaussian.whiten import whiten_full_rank
from pid_jax.inference.null_shares import position_of
from pid_jax.pid.broja import broja_of
from pid_jax.runtime.precision import double_precision
from pid_jax.testing.problems import random_channel

DRAWS = 500
SEEDS = 3
DIMS = (1, 2, 4, 8)
# Noise variance in units of the mean variance of the signal: seven levels, 100-fold from end to middle.
NOISE = 10.0 ** np.arange(-2, 1.01, 0.5)
# Levels that are a factor of 10 apart in variance, and in standard deviation.
RANGES = {"variance": 2, "standard deviation": 4}
LEAST_MOVE, MOST_MOVE = 0.2, 0.05
# Data sets of each system, for the coverage of intervals; and how often answers are wrong.
SYSTEMS, DATA_SETS, SAMPLES = 20, 10, 1000
WRONG = np.array([0.05, 0.15, 0.5])
KINDS = ("redundant", "one signal", "unique", "unique, correlated", "sum", "sum, opposed", "random", "split", "falling")


def structure(kind: str, d: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the covariance of both sources and the map from them to the target."""
    eye, flat = np.eye(d), np.zeros(d)
    one, other = generator.standard_normal((2, d, d))
    first = np.arange(d) < max(d // 2, 1)
    falling = 1.0 / np.arange(1, d + 1)
    turned = [_rotation(d, generator) @ np.diag(falling) @ _rotation(d, generator) for _ in range(2)]
    between, gain_1, gain_2 = {
        "redundant": (flat + 0.9, eye + 0.2 * one, eye + 0.2 * other),
        "one signal": (flat + 0.95, eye, eye),
        "unique": (flat, one, 0.2 * other),
        "unique, correlated": (flat + 0.6, one, 0.1 * other),
        "sum": (flat, eye, eye),
        "sum, opposed": (flat - 0.6, eye, eye),
        "random": (generator.uniform(-0.8, 0.8, d), one, other),
        "split": (flat, np.diag(np.where(first, 1, 0.05)), np.diag(np.where(first, 0.05, 1) if d > 1 else [0.5])),
        "falling": (generator.uniform(-0.5, 0.5, d), turned[0], 0.6 * turned[1]),
    }[kind]
    return np.block([[eye, np.diag(between)], [np.diag(between), eye]]), np.hstack([gain_1, gain_2])


def _rotation(d: int, generator: np.random.Generator) -> np.ndarray:
    return np.linalg.qr(generator.standard_normal((d, d)))[0]


def systems(kind: str, d: int, seed: int) -> np.ndarray:
    """Return covariances of one structure at all levels of noise."""
    sources, gain = structure(kind, d, np.random.default_rng([seed, d, KINDS.index(kind)]))
    signal = gain @ sources @ gain.T
    noise = NOISE * np.trace(signal) / d
    return np.stack([np.block([[sources, sources @ gain.T], [gain @ sources, signal + n * np.eye(d)]]) for n in noise])


def percentiles_ours(cov: np.ndarray, d: int) -> np.ndarray:
    """Percentiles (atom, level) among systems of the same dims, spectra and information."""
    found = normalize_shares(gaussian_pid(cov, (d, d, d)), key=jax.random.key(0), draws=DRAWS)
    return np.stack([*vars(found.percentile).values()])


def percentiles_plain(cov: np.ndarray, d: int) -> np.ndarray:
    """The same among systems of the same dims and information alone: Gaussian gains, Wishart sources."""
    return _percentiles(cov, d, _plain)


def percentiles_rotated(cov: np.ndarray, d: int) -> np.ndarray:
    """The same among systems with the canonical correlations of target and sources, and of both sources."""
    return _percentiles(cov, d, _rotated)


def _percentiles(cov: np.ndarray, d: int, null: Callable[..., Array]) -> np.ndarray:
    estimate = gaussian_pid(cov, (d, d, d))
    share = np.stack([*vars(estimate.atoms).values()]) / estimate.information.i_12
    with double_precision():
        drawn = null(
            jnp.asarray(cov), jnp.asarray(estimate.information.i_12), jax.random.split(jax.random.key(0), DRAWS), d
        )
        return position_of(share, np.asarray(drawn)).percentile


@partial(jax.jit, static_argnums=3)
def _plain(cov: Array, i_12: Array, keys: Array, d: int) -> Array:
    def one(key: Array) -> Array:
        for_sources, for_gain = jax.random.split(key)
        root = jax.random.normal(for_sources, (2 * d, 2 * d))
        gain = jax.random.normal(for_gain, (d, 2 * d))
        sources = root @ root.T
        joint = jnp.block([[sources, sources @ gain.T], [gain @ sources, gain @ sources @ gain.T]])

        def share(i_12: Array) -> Array:
            signal = gain @ sources @ gain.T
            power = jnp.linalg.eigvalsh(signal)
            noise = _noise(power, i_12)
            return _shares(joint.at[2 * d :, 2 * d :].add(noise * jnp.eye(d)), d)

        return jax.vmap(share, out_axes=1)(i_12)

    return jax.lax.map(one, keys)


def _noise(power: Array, i_12: Array) -> Array:
    """Find the noise variance at which the target has the information, by bisection."""

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        is_low = 0.5 * jnp.log1p(power * jnp.exp(-middle)).sum() > i_12
        return jnp.where(is_low, middle, low), jnp.where(is_low, high, middle)

    low, high = jax.lax.fori_loop(0, 60, halve, (-jnp.full_like(i_12, 30.0), jnp.full_like(i_12, 30.0)))
    return jnp.exp(0.5 * (low + high))


def _shares(cov: Array, d: int) -> Array:
    solved = broja_of(whiten_full_rank(cov, (d, d, d), 1e-13)[0])
    return jnp.stack([*vars(solved.atoms).values()]) / solved.information.i_12


@partial(jax.jit, static_argnums=3)
def _rotated(cov: Array, i_12: Array, keys: Array, d: int) -> Array:
    def spectra(cov: Array) -> tuple[Array, Array]:
        whitened = whiten_full_rank(cov, (d, d, d), 1e-13)[0]
        map_1, map_2 = whitened.source_maps
        between = jnp.linalg.svd(map_1 @ cov[:d, d : 2 * d] @ map_2.T, compute_uv=False)
        return jnp.linalg.svd(whitened.cross_all, compute_uv=False), between

    def share(known: Array, between: Array, directions: Array) -> Array:
        cross = known[:, None] * directions.T
        own = jnp.concatenate([jnp.diag(between), jnp.diag(jnp.sqrt(1 - between**2))])
        sources = jnp.eye(2 * d).at[:d, d:].set(jnp.diag(between)).at[d:, :d].set(jnp.diag(between))
        cross = jnp.concatenate([cross[:, :d], cross @ own], axis=1)
        return _shares(jnp.block([[sources, cross.T], [cross, jnp.eye(d)]]), d)

    known, between = jax.vmap(spectra)(cov)

    def one(key: Array) -> Array:
        directions = jnp.linalg.qr(jax.random.normal(key, (2 * d, d)))[0]
        return jax.vmap(share, in_axes=(0, 0, None), out_axes=1)(known, between, directions)

    return jax.lax.map(one, keys)


NULLS = {"ours": percentiles_ours, "size and information": percentiles_plain, "rotated": percentiles_rotated}


@lru_cache
def percentiles(kind: str, d: int, seed: int) -> dict[str, np.ndarray]:
    """Return the percentiles of a structure at all levels of noise, by every null."""
    return {name: null(systems(kind, d, seed), d) for name, null in NULLS.items()}


def moves(d: int, part: int) -> dict[str, list[float]]:
    """Collect by how much shares and percentiles move, where shares move enough, within a range of levels."""
    found: dict[str, list[float]] = {name: [] for name in ("share", *NULLS, "saturated")}
    for kind in KINDS:
        for seed in range(SEEDS):
            cov = systems(kind, d, seed)
            estimate = gaussian_pid(cov, (d, d, d))
            share = np.stack([*vars(estimate.atoms).values()]) / estimate.information.i_12
            starts = range(len(NOISE) - part)
            move = np.stack([np.ptp(share[:, i : i + part + 1], axis=1) for i in starts], axis=1)
            if move.max() < LEAST_MOVE:
                continue
            places = percentiles(kind, d, seed)
            for atom in range(len(ATOMS)):
                start = int(move[atom].argmax())
                if move[atom, start] < LEAST_MOVE:
                    continue
                levels = slice(start, start + part + 1)
                found["share"].append(move[atom, start])
                for name, place in places.items():
                    found[name].append(np.ptp(place[atom, levels]))
                ends = [abs(places[n][atom, start] - 0.5) > 0.48 for n in ("ours", "size and information")]
                found["saturated"].append(ends)
    return found


def measure(d: int, noise: str) -> Row:
    """Summarize the moves of all systems of one size."""
    found = moves(d, RANGES[noise])
    row: Row = {"dims": d, "10 times the": noise, "shares": len(found["share"]), "mean move": np.mean(found["share"])}
    for name in NULLS:
        values = np.array(found[name])
        row |= {f"{name}, mean": values.mean(), f"{name}, largest": values.max()}
        row[f"{name}, within {MOST_MOVE:g}"] = np.mean(values <= MOST_MOVE)
    ends = np.mean(found["saturated"], axis=0)
    return row | {"ours at an end": ends[0], "size and information at an end": ends[1]}


def coverage(d: int) -> Row:
    """Measure how often 95 % intervals hold the position of the true system, and the bias of the estimate."""
    generator, spec = np.random.default_rng([7, d]), PIDSpec(NoReduction(), NoGaussianization())
    held, errors = {"percentile": [], "above chance": []}, {"percentile": [], "above chance": []}
    for _ in range(SYSTEMS):
        problem = random_channel(generator, (d, d, d), (0.7, 0.7))
        data = draw(problem, generator, DATA_SETS, SAMPLES)
        truth = normalize_shares(gaussian_pid(*problem), key=jax.random.key(2), draws=5 * DRAWS)
        found = bootstrap_pid(*data, spec=spec, key=jax.random.key(1), resamples=200)
        estimate = estimate_pid(*data, spec=spec, key=jax.random.key(1))
        ours = normalize_shares(estimate, key=jax.random.key(0), replicates=found.replicates)
        for name, part in (("percentile", "percentile"), ("above chance", "above_chance")):
            wanted = np.stack([*vars(getattr(truth, part)).values()])[:, None]
            value, low, high = (
                np.stack([*vars(getattr(ours, f"{part}{end}")).values()]) for end in ("", "_lower", "_upper")
            )
            held[name].append((low <= wanted) & (wanted <= high))
            errors[name].append(value - wanted)
    row: Row = {"dims": d, "n": SAMPLES}
    for name in held:
        row |= {f"{name}, held": np.mean(held[name]), f"{name}, mean error": np.mean(np.abs(np.mean(errors[name], -1)))}
    return row


FUNCTIONS: dict[str, Callable[[int, int], int]] = {
    "and": lambda a, b: a & b,
    "exclusive or": lambda a, b: a ^ b,
    "first": lambda a, b: a,
    "sum": lambda a, b: a + b,
    "first, or the second where it is 2": lambda a, b: b if a == 2 else a,
    "selected": lambda a, b: (a >> b) & 1,
}


def of_answer(name: str) -> Row:
    """Measure how far shares about a class, and percentiles, move as answers are wrong ten times as often."""
    function = FUNCTIONS[name]
    cells = 4 if name == "selected" else 3 if "2" in name or name == "sum" else 2
    second = 2 if name == "selected" else cells
    classes = 1 + max(function(a, b) for a in range(cells) for b in range(second))
    pmf = np.zeros((len(WRONG), cells, second, classes))
    for a, b in np.ndindex(cells, second):
        pmf[:, a, b] = WRONG[:, None] / classes
        pmf[:, a, b, function(a, b)] += 1 - WRONG
    pmf /= cells * second
    estimate = discrete_pid(pmf)
    probabilities = pmf[0].sum(axis=(0, 1))
    found = normalize_class_shares(estimate, probabilities, key=jax.random.key(0), draws=DRAWS)
    share, place = (np.stack([*vars(part).values()]) for part in (found.share, found.percentile))
    return {
        "answer": name,
        "largest move of a share": np.ptp(share, axis=1).max(),
        "largest move of a percentile": np.ptp(place, axis=1).max(),
    }


def cost(d: int) -> Row:
    """Measure the CPU time of a stack of 33 layers and 200 null systems."""
    estimate = gaussian_pid(covariances(33, (d, d, d)), (d, d, d))
    (seconds,) = cpu_seconds(lambda: normalize_shares(estimate, key=jax.random.key(0)))
    return {"dims": d, "CPU s": seconds}


def main() -> None:
    cases = [(d, noise) for noise in RANGES for d in DIMS]
    tables = {
        "How far percentiles move": collect(lambda case: measure(*case), cases),
        "Intervals": collect(coverage, (2, 4, 8)),
        "How far percentiles of shares about a class move": collect(of_answer, FUNCTIONS),
        "CPU time, 33 problems": collect(cost, DIMS),
    }
    note = (
        "Fixed structure, ten times the noise; shares that move by 0.2 or more. 500 null systems, three seeds a kind."
    )
    write_results("share_null", "Shares against null systems", note, tables)


if __name__ == "__main__":
    main()
