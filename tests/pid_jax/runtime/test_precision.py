"""Precision inside a block, whatever the caller has set, and what a first call compiles."""

import multiprocessing
import os
import subprocess
import sys
import textwrap
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pid_jax
from pid_jax import MMI, NoGaussianization, NoReduction, PIDSpec, RealNVP, gaussian_pid
from pid_jax.runtime.precision import double_precision, single_precision


def test_a_first_call_for_some_dims_compiles_one_program(compiled):
    dims = (3, 1, 2)  # of which no other test has problems
    cov = np.eye(6) + 0.3
    gaussian_pid(np.eye(3), (1, 1, 1))
    compiled()
    gaussian_pid(cov, dims)
    assert len(compiled()) == 1


def test_values_are_computed_at_once_in_a_function_of_the_caller():
    @jax.jit
    def function(x):
        with double_precision():
            inside = np.asarray(jnp.arange(3.0) + 1)
        assert inside.dtype == np.float64
        return x + inside.sum()

    assert function(1.0) == 7


def test_each_block_has_its_precision():
    with double_precision():
        assert jnp.ones(1).dtype == np.float64
        with single_precision():
            assert jnp.ones(1).dtype == np.float32
        assert jnp.ones(1).dtype == np.float64
    assert jnp.ones(1).dtype == np.float32


RNG = np.random.default_rng(0)
TARGET = RNG.normal(size=(60, 1))
SAMPLES = (*(TARGET + RNG.normal(size=(60, 1)) for _ in range(2)), TARGET)
SPEC = PIDSpec(reduction=NoReduction(), redundancy=MMI())  # MMI compiles in less time
STREAMED = PIDSpec(reduction=NoReduction(), gaussianize=NoGaussianization(), redundancy=MMI())
K, COV = jax.random.key(0), np.eye(3) + 0.3


@cache
def fitted() -> pid_jax.FlowFit:
    return pid_jax.fit_flow(*SAMPLES, spec=RealNVP(epochs=1), key=K)


@cache
def estimated() -> pid_jax.PIDEstimate:
    return gaussian_pid(COV, (1, 1, 1), samples=100, redundancy=MMI())


HOST = {
    "estimate_pid": lambda: pid_jax.estimate_pid(*SAMPLES, spec=SPEC, key=K).atoms.redundancy,
    "bootstrap_pid": lambda: (
        pid_jax.bootstrap_pid(*SAMPLES, spec=SPEC, key=K, resamples=100, level=0.9).lower.redundancy
    ),
    "permutation_test": lambda: pid_jax.permutation_test(*SAMPLES, spec=SPEC, key=K, resamples=20).p_value.i_12,
    "compare_pid": lambda: (
        pid_jax.compare_pid(SAMPLES, SAMPLES[::-1], spec=SPEC, key=K, resamples=50).difference.synergy
    ),
    "posterior_pid": lambda: pid_jax.posterior_pid(*SAMPLES, spec=SPEC, key=K, draws=200).mean.synergy,
    "samples_needed": lambda: pid_jax.samples_needed(estimated(), width=1.0, key=K, simulations=10).samples.synergy,
    "stream_pid": lambda: pid_jax.stream_pid([SAMPLES], spec=STREAMED, key=K).atoms.redundancy,
    "gaussian_pid": lambda: gaussian_pid(COV, (1, 1, 1)).atoms.redundancy,
    "gaussian_union": lambda: pid_jax.gaussian_union(COV, (1, 1, 1)).union,
    "optimal_coupling": lambda: pid_jax.optimal_coupling(COV, (1, 1, 1)).information,
    "unique_spectrum": lambda: pid_jax.unique_spectrum(COV, (1, 1, 1)).unique_1,
    "fit_flow": lambda: pid_jax.fit_flow(*SAMPLES, spec=RealNVP(epochs=1), key=K).mean,
    "transform": lambda: fitted().transform(*SAMPLES)[0],
    "inverse": lambda: fitted().inverse(*SAMPLES)[0],
    "log_prob": lambda: fitted().log_prob(*SAMPLES),
    "sample": lambda: fitted().sample(3, K)[0],
}


@pytest.mark.fast_cases(1)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("function", HOST.values(), ids=HOST)
def test_a_guard_of_the_caller_and_his_own_jit_change_nothing(function):
    wanted = function()
    with jax.transfer_guard("disallow_explicit"):
        np.testing.assert_array_equal(function(), wanted)
    np.testing.assert_allclose(jax.jit(lambda x: x + function())(0.0), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_a_guard_of_all_threads_changes_nothing():
    """Threads of the library have the caller's global settings, and none that he made for his thread."""
    jax.config.update("jax_transfer_guard", "disallow")
    try:
        found = fitted().transform(*SAMPLES)[0]
    finally:
        jax.config.update("jax_transfer_guard", None)
    np.testing.assert_array_equal(found, fitted().transform(*SAMPLES)[0])


def _redundancy() -> float:
    return float(gaussian_pid(COV, (1, 1, 1)).atoms.redundancy)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:os.fork")
def test_a_process_forked_after_jax_had_started_is_an_error_and_one_before_is_none():
    code = """
        import multiprocessing, sys
        import jax, numpy as np
        import pid_jax

        def solve(_):
            return float(pid_jax.gaussian_pid(np.eye(3) + 0.3, (1, 1, 1)).atoms.redundancy)

        if sys.argv[1] == "after":
            jax.random.key(0)
        with multiprocessing.get_context("fork").Pool(1) as pool:
            print(pool.map(solve, range(2)))
    """
    for when in ("after", "before"):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), when],
            capture_output=True,
            text=True,
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
            timeout=120,
        )
        if when == "after":
            assert "RuntimeError: this process was forked from one in which JAX had started" in done.stderr
            assert "get_context('spawn')" in done.stderr
        else:
            assert done.stdout.strip() == str([_redundancy()] * 2), done.stderr
