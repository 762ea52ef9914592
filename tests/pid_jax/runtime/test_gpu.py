"""On a GPU: the numbers of a CPU, and parts that are halved where its memory runs out."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from tests import devices

pytestmark = pytest.mark.skipif(jax.default_backend() != "gpu", reason="JAX sees no GPU")

# Far more than there is on the card; the child may take a hundredth of its memory.
OUT_OF_MEMORY = """
import warnings
import numpy as np
from pid_jax import gaussian_pid, use_devices
covs = np.tile(np.eye(96) + .1, (8192, 1, 1))
with warnings.catch_warnings(record=True) as caught, use_devices(budget_gb=1e6):
    warnings.simplefilter("always")
    found = gaussian_pid(covs, (32, 32, 32)).atoms.redundancy
assert found.shape == (8192,) and np.ptp(found) < 1e-12, np.ptp(found)
print(*[str(one.message) for one in caught], sep="\\n")
"""


def meshes() -> list[Mesh]:
    return [Mesh(np.array(jax.devices(kind)[:1]), ("problems",)) for kind in ("gpu", "cpu")]


def test_atoms_are_those_of_a_cpu():
    ours, theirs = map(devices.exact, meshes())
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=0, atol=1e-12, err_msg=name)


def test_estimates_and_replicates_are_those_of_a_cpu():
    ours, theirs = map(devices.sampled, meshes())
    for name, value in theirs.items():
        largest = 1e-4 if name == "randomized" else 1e-9  # components of large samples are in single precision
        np.testing.assert_allclose(ours[name], value, rtol=0, atol=largest, err_msg=name)


def test_flows_are_those_of_a_cpu():
    """Rounding grows over the steps of a fit."""
    ours, theirs = map(devices.fitted, meshes())
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


def test_parts_are_halved_where_memory_runs_out():
    environment = os.environ | {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.01", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", OUT_OF_MEMORY], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "going on with" in done.stdout
