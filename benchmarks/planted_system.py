"""A study with known content: two models that read three tasks, with and without a cut, at every layer a Gaussian."""

from dataclasses import dataclass

import numpy as np

from benchmarks import problems
from pid_jax.decompose.pid import solve_pid
from pid_jax.pid.atoms import PIDAtoms
from pid_jax.pid.broja import BROJA

MODELS = {"eight": 8, "six": 6}
TASKS = ("direct", "compare", "reason")
CONDITIONS = ("baseline", "image-question@all", "image-question@early")
# Last decoder block cut, as a part of the depth.
CUTS = (None, 1.0, 0.4)
DIMS = (4, 4, 3)
# Correlation of the noises of both sources, of noise between layers, and of models.
SOURCES, LAYERS, VARIANTS = 0.5, 0.7, 0.6
# Accuracy falls by this much in the first task under a cut of everything, and less elsewhere.
LOSS = 0.08
# Rows, and which answers are correct.
Drawn = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class PlantedCell:
    """What is planted in one model, task and condition.

    Attributes:
        gain_1: What source_1 reads of each coordinate of the target, by layer (layer, coordinate).
        gain_2: The same of source_2.
        accuracy: Probability of a correct answer.
    """

    gain_1: np.ndarray
    gain_2: np.ndarray
    accuracy: float

    @property
    def atoms(self) -> np.ndarray:
        """True atoms in nats (atom, layer)."""
        gains = zip(self.gain_1, self.gain_2, strict=True)
        layers = [problems.parallel(one**2, other**2, SOURCES) for one, other in gains]
        return stacked(solve_pid(np.stack([one.cov for one in layers]), layers[0].dims, BROJA()).atoms)


def stacked(atoms: PIDAtoms) -> np.ndarray:
    """Put atoms (...) into one array (atom, ...)."""
    return np.moveaxis(problems.stacked(atoms), -1, 0)


def last_cut(blocks: int, cut: float | None) -> int:
    """Last decoder block cut; -1 without a cut."""
    return -1 if cut is None else round(cut * (blocks - 1))


def plant(model: int, task: int, condition: int) -> PlantedCell:
    """Plant a trajectory: vision-unique decays as language takes it over, which a cut delays until it ends."""
    blocks = list(MODELS.values())[model]
    layers = np.arange(blocks + 1)
    last = last_cut(blocks, CUTS[condition])
    depth, moved = layers / blocks, (layers - np.minimum(layers, last + 1)) / blocks
    rise = 1 - 0.25 * np.exp(-moved / 0.06)
    seen = 12.0 / (1 + 0.8 * task) * rise * np.exp(-((moved / (0.35 + 0.05 * task + 0.02 * model)) ** 2)) + 0.5 * task
    told = (1 - 0.4 * task) * (1 - np.exp(-((moved / 0.4) ** 2)))
    own = 0.5 + (6.0 + task + 0.5 * model) * depth**3
    ones = np.ones_like(depth)
    gain_1 = np.sqrt(np.stack([seen, 0.15 * ones, 0.4 * ones], axis=1))
    gain_2 = np.sqrt(np.stack([told, own, 0.3 + 0.8 * depth], axis=1))
    cut = 0.0 if CUTS[condition] is None else float(CUTS[condition] or 0)
    return PlantedCell(gain_1=gain_1, gain_2=gain_2, accuracy=0.9 - 0.05 * task - LOSS * cut / (1 + task))


def draw_task(task: int, samples: int, rng: np.random.Generator) -> dict[tuple[int, int], Drawn]:
    """Draw the samples of one task: the same noise under all conditions, related noise in both models.

    Returns:
        By model and condition: rows (layer, sample, variable) of source_1, source_2 and target, and which answers are
        correct.
    """
    d1, d2, dt = DIMS
    common = rng.standard_normal((samples, d1 + d2 + dt))
    luck = rng.uniform(size=samples)
    mixing = np.linalg.cholesky(np.array([[1, SOURCES], [SOURCES, 1]]))
    found = {}
    for model, blocks in enumerate(MODELS.values()):
        own = _mix(common, rng.standard_normal(common.shape), VARIANTS)
        target, noise = own[:, d1 + d2 :], own[:, : d1 + d2]
        noise = _mix(noise, rng.standard_normal((blocks + 1, *noise.shape)), LAYERS).reshape(blocks + 1, samples, 2, -1)
        noise = np.einsum("ij,lnjd->ilnd", mixing, noise)
        for condition in range(len(CONDITIONS)):
            cell = plant(model, task, condition)
            sources = noise.copy()
            sources[..., :dt] += np.stack([cell.gain_1, cell.gain_2])[:, :, None] * target
            rows = np.concatenate([*sources, np.broadcast_to(target, (blocks + 1, samples, dt))], axis=-1)
            found[model, condition] = rows, luck < cell.accuracy
    return found


def _mix(common: np.ndarray, own: np.ndarray, share: float) -> np.ndarray:
    return np.sqrt(share) * common + np.sqrt(1 - share) * own
