"""Precision inside a block, whatever the caller has set, and what a first call compiles."""

import logging

import jax
import jax.numpy as jnp
import numpy as np

from pid_jax import gaussian_pid
from pid_jax.precision import double_precision, single_precision


def test_a_first_call_for_some_dims_compiles_one_program(caplog):
    dims = (3, 1, 2)  # of which no other test has problems
    cov = np.eye(6) + 0.3
    gaussian_pid(np.eye(3), (1, 1, 1))
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        gaussian_pid(cov, dims)
    compiled = [line for line in caplog.messages if line.startswith("Finished XLA compilation")]
    assert len(compiled) == 1, compiled


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
