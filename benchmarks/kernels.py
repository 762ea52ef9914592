"""The kernels that are timed and guarded, and the plain NumPy and SciPy calls that each is compared with.

A reference does work of the same character as its kernels, so that the ratio of their times says little about the
machine: small factorizations beside small factorizations, products beside products, reading beside reading.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.problems import covariances
from benchmarks.scipy_loop import decompose_all
from pid_jax import BROJA, MMI, PCA, Exact, IndirectInference, gaussian_pid, unique_spectrum
from pid_jax.bias.sampling import sampling_errors
from pid_jax.decompose.pid import solve_pid
from pid_jax.flow.train import Samples, Training, advance_fit, start_fit
from pid_jax.flow.weights import Architecture, init_weights
from pid_jax.gaussian.whiten import whiten_full_rank
from pid_jax.inference.replicates import gaussian_replicates
from pid_jax.reduce.solve import fit_reduction
from pid_jax.runtime.precision import double_precision, single_precision
from pid_jax.runtime.progress import no_progress
from pid_jax.runtime.threads import one_blas_thread
from pid_jax.store import ActivationStore, Manifest

Call = Callable[[], object]
DIM = 16
DIMS = (DIM, DIM, DIM)
LAYERS, MANY = 33, 1024
STORED, STORED_LAYERS, WIDTH = 512, 8, 4096


class Kernel(NamedTuple):
    """One thing that is timed: prepare its data and return the call; and the entry of REFERENCES to compare it with."""

    make: Callable[[], Call]
    reference: str


def _solve(count: int, redundancy: BROJA | MMI) -> Call:
    return partial(gaussian_pid, covariances(count, DIMS), DIMS, redundancy=redundancy)


def _compiled(function: Callable, *arguments: Any, threads_by: int = DIM, precision: Any = double_precision) -> Call:
    compiled = jax.jit(function)

    def call() -> object:
        with precision(), one_blas_thread(threads_by):
            return jax.block_until_ready(compiled(*arguments))

    return call


def _whiten() -> Call:
    whiten = jax.vmap(lambda cov: whiten_full_rank(cov, DIMS, 1e-13))
    return _compiled(whiten, covariances(LAYERS, DIMS), threads_by=3 * DIM)


def _reduce(samples: int, features: int, spec: PCA) -> Call:
    drawn = np.random.default_rng(0).standard_normal((samples, features), dtype=np.float32)
    drawn *= np.arange(1, features + 1, dtype=np.float32) ** -0.5
    return _compiled(lambda x, key: fit_reduction(x, DIM, spec, key), drawn, jax.random.key(0))


def _fit_step() -> Call:
    """One step of the joint objective, on 256 samples of three variables."""
    rng = np.random.default_rng(0)
    drawn = tuple(rng.standard_normal((DIM, 1000), dtype=np.float32) for _ in range(3))
    samples = Samples(train=drawn, every=drawn, is_free=np.ones(3, np.float32))
    training = Training((Architecture(DIM, 6, 64),) * 3, True, 1, 100, 256, 1e-2, 1.0, 0.0)
    with single_precision():
        flows = tuple(init_weights(jax.random.key(i), one) for i, one in enumerate(training.architectures))
        permutations = tuple(jnp.asarray(flow.permutation) for flow in flows)
        state = start_fit(jax.random.key(9), flows, training)
    step = partial(advance_fit, training=training)
    return _compiled(step, state, permutations, samples, precision=single_precision)


def _calibrate() -> Call:
    covs = covariances(4, DIMS)
    found = solve_pid(covs, DIMS, BROJA())
    return partial(sampling_errors, found, covs, DIMS, 1000, BROJA(), IndirectInference(), jax.random.key(0))


def _replicate() -> Call:
    covs = covariances(4, DIMS)
    return partial(gaussian_replicates, covs, DIMS, 1000, BROJA(), 200, jax.random.key(0), no_progress)


def _read_store() -> Call:
    folder = tempfile.TemporaryDirectory(prefix="pid_jax_bench_")
    names = tuple(f"{layer:03d}/image" for layer in range(STORED_LAYERS))
    ids = tuple(f"{i:04d}" for i in range(STORED))
    manifest = Manifest(ids=ids, shard_size=128, tensors=names, condition={"name": "baseline"})
    store = ActivationStore.create(Path(folder.name) / "store", manifest)
    rows = np.random.default_rng(0).standard_normal((128, WIDTH)).astype(np.float16)
    for index in range(STORED // 128):
        some = store.shard_ids(index)
        answers = [{"task": "a", "question": "b", "gold": "c", "predicted": "c"}] * len(some)
        store.write_shard(index, some, answers, dict.fromkeys(names, rows))

    def call() -> object:
        return [states[0, 0] for _, states in ActivationStore.open(Path(folder.name) / "store").iter_layers("image")]

    return call


def _start(code: str) -> Call:
    return partial(subprocess.run, [sys.executable, "-c", code], check=True)


def _one_thread(action: Call) -> Call:
    def call() -> object:
        with threadpool_limits(limits=1, user_api="blas"):
            return action()

    return call


def _loop() -> Call:
    return _one_thread(partial(decompose_all, covariances(8, DIMS), DIMS))


def _products(dtype: str, size: int) -> Call:
    a = np.random.default_rng(0).standard_normal((size, size)).astype(dtype)
    return _one_thread(lambda: a @ a)


def _layers_of_a_network() -> Call:
    """Matrix products and activations of six small networks on a batch, in float32."""
    rng = np.random.default_rng(0)
    x, first, second = (rng.standard_normal(s, dtype=np.float32) for s in ((256, 8), (8, 64), (64, 16)))
    return _one_thread(lambda: [np.tanh(x @ first) @ second for _ in range(6)])


def _copy() -> Call:
    """Read a file of the size of the store, and copy what was read."""
    folder = tempfile.TemporaryDirectory(prefix="pid_jax_bench_")
    np.zeros(STORED * STORED_LAYERS * WIDTH, np.float16).tofile(f"{folder.name}/bytes")
    return lambda: np.fromfile(f"{folder.name}/bytes", np.float16).copy()


REFERENCES: dict[str, Callable[[], Call]] = {
    "8 problems in a SciPy loop": _loop,
    "float32 product of size 1024": partial(_products, "float32", 1024),
    "float64 product of size 512": partial(_products, "float64", 512),
    "6 networks by NumPy": _layers_of_a_network,
    "32 MB read and copied": _copy,
    "import of jax and scipy.linalg": lambda: _start("import jax, scipy.linalg"),
}
_LOOP, _SINGLE, _DOUBLE, _NETWORKS, _COPY, _IMPORT = REFERENCES
KERNELS: dict[str, Kernel] = {
    "gaussian_pid, 33 problems": Kernel(partial(_solve, LAYERS, BROJA()), _LOOP),
    "gaussian_pid, 1024 problems": Kernel(partial(_solve, MANY, BROJA()), _LOOP),
    "gaussian_pid by MMI, 33 problems": Kernel(partial(_solve, LAYERS, MMI()), _LOOP),
    "whiten, 33 problems": Kernel(_whiten, _LOOP),
    "unique_spectrum, 33 problems": Kernel(lambda: partial(unique_spectrum, covariances(LAYERS, DIMS), DIMS), _LOOP),
    "bias by indirect inference, 4 problems": Kernel(_calibrate, _LOOP),
    "200 Wishart replicates of 4 problems": Kernel(_replicate, _LOOP),
    "exact PCA, 2000 x 256": Kernel(partial(_reduce, 2000, 256, PCA(solver=Exact())), _DOUBLE),
    "randomized PCA, 2000 x 2048": Kernel(partial(_reduce, 2000, 2048, PCA()), _SINGLE),
    "one step of a flow fit": Kernel(_fit_step, _NETWORKS),
    "read 32 MB of a store": Kernel(_read_store, _COPY),
    "import of pid_jax.gaussian_pid": Kernel(lambda: _start("from pid_jax import gaussian_pid"), _IMPORT),
}
