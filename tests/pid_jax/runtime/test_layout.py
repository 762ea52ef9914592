"""Problems on several devices and in parts: the same numbers, whatever the devices and the memory."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

from pid_jax.flow import loops as fit_loops
from pid_jax.flow.train import Training
from pid_jax.flow.weights import Architecture
from pid_jax.runtime.devices import (
    Layout,
    current_layout,
    in_threads,
    map_problems,
    over_devices,
    part_size,
    use_devices,
)
from pid_jax.runtime.precision import single_precision
from tests import devices

# Rounding grows over the steps of a fit, in single precision.
LARGEST_DIFFERENCE = {"mapped": 1e-4, "answer": 1e-4}


def on_four(which: str, file: Path) -> dict[str, np.ndarray]:
    inherited = os.environ.get("XLA_FLAGS", "")
    flags = {"XLA_FLAGS": f"{inherited} --xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "tests.devices", which, str(file)]
    done = subprocess.run(command, env=os.environ | flags, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(file) as found:
        return dict(found)


def compare(found: dict[str, np.ndarray], own: dict[str, np.ndarray]) -> None:
    assert all(np.isfinite(value).all() for value in own.values())
    for name, value in found.items():
        _, stage = name.split("/")
        np.testing.assert_allclose(value, own[stage], atol=LARGEST_DIFFERENCE.get(stage, 1e-12), err_msg=name)


@pytest.mark.slow
def test_numbers_do_not_depend_on_the_devices(tmp_path):
    compare(on_four("quick", tmp_path / "found.npz"), devices.exact())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_stage_depends_on_the_devices(tmp_path):
    found = on_four("thorough", tmp_path / "found.npz")
    compare(found, devices.exact() | devices.sampled() | {"flow": devices.fitted(), "mapped": found["last/mapped"]})


def test_threads_solve_on_the_devices_of_the_layout_around():
    mesh = jax.make_mesh((1,), ("of its own",))
    with use_devices(mesh, 0.25):
        found = in_threads(lambda item: (item, current_layout()), range(3))
    assert found == [(item, Layout(mesh, 0.25e9)) for item in range(3)]


def doubled(found: list[int], x: np.ndarray, *, mesh: Mesh | None) -> jax.Array:
    found.append(len(x))
    return over_devices(lambda x: 2 * x, mesh)(jnp.asarray(x))


def test_parts_fit_into_the_budget_and_have_one_size():
    sizes: list[int] = []
    with use_devices(budget_gb=4e-6):
        found = map_problems(partial(doubled, sizes), np.arange(10.0), bytes_each=1000)
    np.testing.assert_array_equal(found, 2 * np.arange(10.0))
    assert sizes == [4, 4, 4]


def test_trees_and_none_are_passed_on():
    def add(pair, nothing, *, mesh):
        assert nothing is None
        return {"sum": pair[0] + pair[1]}

    found = map_problems(add, (np.arange(3.0), np.ones(3)), None)
    np.testing.assert_array_equal(found["sum"], [1, 2, 3])


@pytest.mark.parametrize("error", [MemoryError(), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")])
def test_parts_are_halved_where_memory_runs_out(error):
    sizes: list[int] = []

    def solve(x, *, mesh):
        sizes.append(len(x))
        if len(x) > 3:
            raise error
        return 2 * x

    with pytest.warns(UserWarning, match="ran out with") as warned:
        found = map_problems(solve, np.arange(8.0))
    np.testing.assert_array_equal(found, 2 * np.arange(8.0))
    assert sizes == [8, 4, 2, 2, 2, 2]
    assert "with 8 problems at a time; going on with 4. A smaller budget_gb" in str(warned[0].message)


def test_one_problem_that_is_too_large_is_an_error():
    def solve(x, *, mesh):
        raise MemoryError

    with pytest.warns(UserWarning, match="going on with 1"), pytest.raises(MemoryError, match="dims"):
        map_problems(solve, np.arange(2.0))


def test_other_errors_are_not_hidden():
    def solve(x, *, mesh):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        map_problems(solve, np.arange(2.0))


def test_sizes_of_parts():
    one = current_layout().mesh
    four = Mesh(np.repeat(np.asarray(jax.devices()[:1]), 4), ("problems",))
    assert part_size(10, 0, Layout(one, 1.0)) == 10
    assert part_size(0, 0, Layout(one, 1.0)) == 0
    assert part_size(10, 100, Layout(one, 350.0)) == 3
    assert part_size(10, 100, Layout(one, 1.0)) == 1
    assert part_size(1, 0, Layout(four, 1.0)) == 1
    assert part_size(10, 0, Layout(four, 1.0)) == 12
    assert part_size(10, 100, Layout(four, 900.0)) == 8
    assert part_size(10, 100, Layout(four, 1.0)) == 4


def test_an_inner_block_takes_what_is_not_given_from_the_outer_one():
    with use_devices(budget_gb=1) as outer:
        with use_devices() as inner:
            assert inner == outer
        with use_devices(budget_gb=3) as inner:
            assert (inner.mesh, inner.budget_bytes) == (outer.mesh, 3e9)
    assert current_layout().budget_bytes == 2e9


def test_the_device_of_the_caller_is_kept():
    with jax.default_device(jax.devices()[0]):
        assert list(current_layout().devices) == jax.devices()[:1]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mesh": 4}, TypeError, r"mesh needs a jax\.sharding\.Mesh, got int: jax\.make_mesh"),
        ({"mesh": Mesh(np.empty(0, object), ("problems",))}, ValueError, "mesh needs at least one device"),
        ({"budget_gb": 0}, ValueError, "budget_gb needs a number above 0"),
        ({"budget_gb": -1.0}, ValueError, "budget_gb needs a number above 0"),
    ],
)
def test_bad_layouts_are_named(options, error, message):
    with pytest.raises(error, match=message), use_devices(**options):
        pass


@pytest.mark.slow
@pytest.mark.parametrize(
    ("samples", "dim", "width", "couplings", "batch"), [(2000, 16, 64, 2, 256), (6000, 8, 32, 3, 512)]
)
def test_memory_of_a_fit_is_estimated_from_above(monkeypatch, samples, dim, width, couplings, batch):
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")  # variables side by side, as on accelerators
    training = Training(
        architectures=(Architecture(dim, couplings, width),) * 3,
        is_joint=True,
        steps=4,
        evaluations=2,
        batch_size=batch,
        learning_rate=1e-3,
        weight_decay=0.0,
        input_noise=0.1,
    )
    fits = 2
    scores = [np.random.default_rng(0).normal(size=(fits, samples, dim)).astype(np.float32)] * 3
    given = fit_loops._samples(scores, np.arange(samples) % 10 == 0, np.ones((fits, 3)))
    with single_precision():
        flows = tuple(fit_loops._init(jax.random.key(0), one) for one in training.architectures)
        state = fit_loops._repeat(fit_loops._start(jax.random.key(1), flows, training), fits)
        order = tuple(flow.permutation for flow in flows)
        compiled = fit_loops._advance_batch.lower(state, order, given, training, mapped=jax.vmap, mesh=None).compile()
        weights = fit_loops._weights(state, order)[0]
        evaluated = fit_loops._forward_batch.lower(
            weights, given.every[0], training.architectures[0], mapped=jax.vmap, mesh=None
        ).compile()
    each = [one.memory_analysis() for one in (compiled, evaluated)]
    taken = max(x.temp_size_in_bytes + x.argument_size_in_bytes + x.output_size_in_bytes for x in each) / fits
    assert 1 <= fit_loops.memory_of_fit(training, samples) / taken <= 4
