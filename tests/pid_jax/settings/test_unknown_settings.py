"""A setting that is not known is refused by name wherever settings of its kind are told apart."""

import dataclasses
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from pid_jax import (
    BROJA,
    NUTS,
    BCa,
    Exact,
    IndirectInference,
    NoReduction,
    PIDSpec,
    Randomized,
    gaussian_pid,
    samples_needed,
)
from pid_jax.bias.sampling import sampling_errors
from pid_jax.decompose.pid import solve_pid
from pid_jax.estimate.gaussianize import Latents
from pid_jax.estimate.latents import _estimate_covariance
from pid_jax.inference.bootstrap import _intervals, _replicates
from pid_jax.inference.differences import infer_differences
from pid_jax.inference.intervals import interval_from
from pid_jax.inference.permuted import permute
from pid_jax.inference.posterior_draws import draw_problem
from pid_jax.inference.replicates import gaussian_replicates
from pid_jax.reduce.solve import is_exact
from pid_jax.runtime.progress import no_progress
from pid_jax.settings.estimate import PCA, is_pca, is_shrunk, spec_from_dict, spec_to_dict
from pid_jax.settings.gaussianize import is_ranked
from pid_jax.settings.inference import Parametric
from pid_jax.settings.posterior import GaussianLikelihood, InverseWishart
from pid_jax.store.targets import FinalNorm, TargetReader
from pid_jax.study.scatter import scatter_of_atoms

KEY, DIMS, SAMPLES = jax.random.key(0), (1, 1, 1), 100
RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(SAMPLES, 3)) @ np.array([[1.0, 0.3, 0.6], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
COV = np.cov(ROWS, rowvar=False)
VARIABLES = tuple(np.split(ROWS, 3, axis=-1))


@dataclass(frozen=True)
class Made:
    """Settings of no kind, with fields that several kinds have."""

    rank_cut: float = 1e-13
    draws: int = 20


def refuses_by_name():
    return pytest.raises(TypeError, match=r"\bMade\b")


@cache
def estimate():
    return gaussian_pid(COV, DIMS, samples=SAMPLES)


def batch():
    return dataclasses.replace(estimate().reshape((1,)), cov=COV[None])


def in_settings_of_an_estimate():
    return dataclasses.replace(estimate(), settings={"redundancy": {"method": "Made", "rank_cut": 1e-13}})


LATENTS = Latents(values=ROWS[None], gaussianizer=np.array(["NoGaussianization"]))
OPTIONS = {"key": KEY, "progress": no_progress}
PATHS = {
    "solve": lambda made: solve_pid(COV, DIMS, made),
    "gaussian_pid": lambda made: gaussian_pid(COV, DIMS, redundancy=made),
    "bias": lambda made: sampling_errors(
        solve_pid(COV, DIMS, BROJA()), COV, DIMS, SAMPLES, made, IndirectInference(), KEY
    ),
    "correction": lambda made: sampling_errors(solve_pid(COV, DIMS, BROJA()), COV, DIMS, SAMPLES, BROJA(), made, KEY),
    "replicates": lambda made: gaussian_replicates(COV[None], DIMS, SAMPLES, made, 10, **OPTIONS),
    "jackknife": lambda made: infer_differences(
        [LATENTS] * 2, [batch()] * 2, made, block_length=1, resamples=50, level=0.9, **OPTIONS
    ),
    "scatter": lambda made: scatter_of_atoms(LATENTS, batch(), made, np.ones((50, SAMPLES)), KEY, 0.9),
    "samples": lambda made: samples_needed(in_settings_of_an_estimate(), width=0.5, key=KEY),
    "acceleration": lambda made: _intervals(batch(), estimate().atoms, 0.9, Parametric(), BCa(), ROWS[None], made),
    "interval": lambda made: interval_from(np.zeros(1), np.zeros((100, 1)), 0.9, made, np.zeros(1)),
    "kind": lambda made: _replicates(
        LATENTS, batch(), VARIABLES, kind=made, block_length=1, spec=PIDSpec(), resamples=10, **OPTIONS
    ),
    "null": lambda made: permute(ROWS[None], DIMS, made),
    "likelihood": lambda made: draw_problem(
        ROWS, DIMS, BROJA(), KEY, likelihood=made, prior=InverseWishart(), sampler=NUTS(warmup=5), draws=8
    ),
    "prior": lambda made: draw_problem(
        ROWS, DIMS, BROJA(), KEY, likelihood=GaussianLikelihood(), prior=made, sampler=NUTS(warmup=5), draws=8
    ),
    "sampler": lambda made: draw_problem(
        ROWS, DIMS, BROJA(), KEY, likelihood=GaussianLikelihood(), prior=InverseWishart(), sampler=made, draws=8
    ),
    "covariance": lambda made: _estimate_covariance(ROWS, estimator=made),
    "shrinkage": is_shrunk,
    "reduction": is_pca,
    "marginals": is_ranked,
    "solver": lambda made: is_exact((10, 4), 2, SimpleNamespace(solver=made)),
    "method": lambda made: spec_from_dict(spec_to_dict(made)),
}


@pytest.mark.parametrize("path", PATHS)
def test_every_path_refuses_what_it_does_not_know(path):
    with refuses_by_name():
        PATHS[path](Made())


def test_known_settings_pass():
    assert is_pca(PCA())
    assert not is_pca(NoReduction())
    assert is_exact((10, 4), 2, PCA(solver=Exact()))
    assert not is_exact((10_000, 4000), 2, PCA(solver=Randomized()))


def test_unknown_target_is_refused():
    class Reader(TargetReader):
        def check(self, store, layer):
            pass

    class Store:
        def read(self, **options):
            return np.zeros((2, 3))

    class Readout:
        width = 3

    reader = Reader(target=Made(), readout=Readout())  # pyright: ignore[reportArgumentType]
    with refuses_by_name():
        reader.read(Store(), 1)  # pyright: ignore[reportArgumentType]
    assert Reader(target=FinalNorm()).read(Store(), 1).shape == (2, 3)  # pyright: ignore[reportArgumentType]
