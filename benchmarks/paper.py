"""What the settings of arXiv 2602.15580 do to numbers whose truth is known."""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.problems import draw
from benchmarks.record import write_results
from benchmarks.tables import Row, collect
from pid_jax import (
    BROJA,
    MMI,
    Copula,
    NoCorrection,
    NoGaussianization,
    NoReduction,
    PIDSpec,
    RealNVP,
    discrete_pid,
    estimate_categorical_pid,
    estimate_pid,
    gaussian_pid,
)
from pid_jax.decompose.result import ATOMS
from pid_jax.estimate.by_pairs import information_of_pairs, map_pairs, mmi_of
from pid_jax.estimate.gaussianizer import FitOptions
from pid_jax.reduce.pca import keep_all
from pid_jax.runtime.progress import no_progress
from pid_jax.testing.problems import Problem, random_channel

SAMPLES, BATCH, SEEDS = 1000, 50, 5
KEY = jax.random.key(0)
FLOW = RealNVP(refits=0, intervals=False)
CLASSES, WIDTH, NOISE = 6, 8, 0.1
# Coordinates of each variable of the Gaussian systems.
DIMS = 6


def averaged(case: str) -> Row:
    """Average atoms by MMI, of which one unique part is zero every time."""
    generator = np.random.default_rng(1)
    if case == "layers":  # source_1 is ahead in the first half, source_2 in the second
        strengths = np.linspace(1.2, 0.2, 8)
        cov = np.stack([_two_channels(one, other) for one, other in zip(strengths, strengths[::-1], strict=True)])
        found = {"mmi": gaussian_pid(cov, (2, 2, 2), redundancy=MMI()), "broja": gaussian_pid(cov, (2, 2, 2))}
    else:  # batches of one system in which neither source is ahead
        data = draw(Problem(_two_channels(0.7, 0.7), (2, 2, 2)), generator, 20, BATCH)
        found = {
            name: estimate_pid(*data, spec=_raw(measure), key=KEY)
            for name, measure in (("mmi", MMI()), ("broja", BROJA()))
        }
    atoms = {name: one.atoms for name, one in found.items()}
    both = (atoms["mmi"].unique_1 > 1e-9) & (atoms["mmi"].unique_2 > 1e-9)
    row: Row = {"averaged over": case, "times": len(both), "with both unique by MMI": int(both.sum())}
    for name, one in atoms.items():
        row |= {f"mean U_1, {name}": one.unique_1.mean(), f"mean U_2, {name}": one.unique_2.mean()}
    return row


def _two_channels(strength_1: float, strength_2: float) -> np.ndarray:
    """Return a covariance in which both sources see the same coordinates of the target, each with noise of its own."""
    gains = np.array([[strength_1, 0.5 * strength_1], [strength_2, 0.5 * strength_2]])
    h = np.vstack([np.diag(one) for one in gains])
    return np.block([[h @ h.T + np.eye(4), h], [h.T, np.eye(2)]])


def _raw(measure: MMI | BROJA) -> PIDSpec:
    return PIDSpec(NoReduction(), NoGaussianization(), redundancy=measure, bias_correction=NoCorrection())


def selecting(name: str) -> Row:
    """Decompose what an image with two attributes, and a question that selects one of them, tell about the answer."""
    generator = np.random.default_rng(2)
    a, b = generator.integers(CLASSES, size=(2, SAMPLES))
    question = generator.integers(2, size=SAMPLES)
    answer = np.where(question, b, a)
    if name == "truth":
        pmf = np.zeros((CLASSES**2, 2, CLASSES))
        for one, other, asked in np.ndindex(CLASSES, CLASSES, 2):
            pmf[CLASSES * one + other, asked, other if asked else one] = 1 / (2 * CLASSES**2)
        return _atoms(name, discrete_pid(pmf).atoms)
    each = [np.eye(CLASSES) @ generator.normal(size=(CLASSES, WIDTH)) for _ in range(4)]
    image = np.hstack([each[0][a][:, : WIDTH // 2], each[1][b][:, : WIDTH // 2]])
    sources = [image, each[2][question]]
    image, asked, state = (x + NOISE * generator.normal(size=x.shape) for x in (*sources, each[3][answer]))
    if name == "classifiers of the answer":
        return _atoms(name, estimate_categorical_pid(image, asked, answer, key=KEY).atoms)
    if name == "a flow for each information":
        return _atoms(name, _by_pairs([x[None] for x in (image, asked, state)])[1])
    gaussianize = {"nothing": NoGaussianization(), "ranks": Copula(), "one flow": FLOW}[name]
    spec = PIDSpec(NoReduction(), gaussianize, bias_correction=NoCorrection())
    return _atoms(name, estimate_pid(image, asked, state, spec=spec, key=KEY).atoms)


def _atoms(by: str, atoms: object) -> Row:
    return {"by": by} | {name: np.ravel(getattr(atoms, name))[0] for name in ATOMS}


def _by_pairs(variables: list[np.ndarray]) -> tuple:
    options = FitOptions(key=KEY, progress=no_progress, is_corrected=False, labels=("1", "2", "t"), problem="problem")
    pairs = map_pairs([jax.vmap(keep_all)(jnp.asarray(x)) for x in variables], FLOW, options)
    values = [one.values - one.values.mean(axis=1, keepdims=True) for one in pairs.latents]
    information = information_of_pairs(pairs, [np.swapaxes(x, 1, 2) @ x / (SAMPLES - 1) for x in values])
    return information, mmi_of(information)


def gaussian(by: str) -> Row:
    """Estimate the information of Gaussian systems, where no map is needed, without any correction of bias."""
    generator = np.random.default_rng(3)
    problems = [random_channel(generator, (DIMS, DIMS, DIMS), (0.6, 0.6)) for _ in range(SEEDS)]
    truth = np.array([gaussian_pid(*problem).information.i_12 for problem in problems])
    data = [np.stack(x) for x in zip(*(draw(problem, generator, SAMPLES) for problem in problems), strict=True)]
    if by == "nothing":
        i_12 = estimate_pid(*data, spec=_raw(MMI()), key=KEY).information.i_12
    else:
        i_12 = _by_pairs(data)[0].i_12
    return {"by": by, "truth of I_12": truth.mean(), "mean error": (i_12 - truth).mean()}


def main() -> None:
    ways = ("truth", "nothing", "ranks", "one flow", "a flow for each information", "classifiers of the answer")
    tables = {
        "Averages of atoms of which one is zero": collect(averaged, ("layers", "batches")),
        "A question that selects an attribute": collect(selecting, ways),
        "Gaussian systems": collect(gaussian, ("nothing", "a flow for each information")),
    }
    note = (
        f"Nats. Batches of {BATCH} samples; {SAMPLES} samples of six equally frequent answers, states of {WIDTH} dims; "
        f"{SEEDS} Gaussian systems of {DIMS} coordinates, without any correction of bias."
    )
    write_results("paper", "The settings of the paper where the truth is known", note, tables)


if __name__ == "__main__":
    main()
