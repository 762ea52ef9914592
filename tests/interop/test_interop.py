"""States that TransformerLens and nnsight wrote, and the table of VLM-Lens, are read as they are."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from pid_jax import open_activations

LAYERS, SAMPLES = 3, 12
MIDDLE = np.tile(np.array([0, 1, 1, 1, 0, 0, 0], bool), (SAMPLES, 1))
MASKS = {"last": -1, "middle": MIDDLE}

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def folder(request, tmp_path_factory):
    python = request.config.getoption("--interop")
    if python is None:
        pytest.skip("needs --interop, as `make test-interop` gives it")
    path = tmp_path_factory.mktemp("states")
    subprocess.run([python, Path(__file__).with_name("write_states.py"), path], check=True, timeout=600)
    return path


@pytest.mark.parametrize(
    ("name", "layout", "tolerance"),
    [("transformer_lens.pt", "blocks.{layer}.hook_resid_post", 1e-7), ("nnsight.pt", None, 0)],
)
def test_states_equal_those_of_transformers(folder, name, layout, tolerance):
    found = open_activations(folder / name, layout=layout, masks=MASKS)
    plain = np.load(folder / "plain.npy")
    assert found.layers == tuple(range(LAYERS))
    for layer in found.layers:
        np.testing.assert_allclose(found.read(role="last", layer=layer), plain[layer][:, -1], rtol=0, atol=tolerance)
        middle = plain[layer][MIDDLE].reshape(SAMPLES, 3, -1).mean(axis=1)
        np.testing.assert_allclose(found.read(role="middle", layer=layer), middle, rtol=0, atol=1e-6)


def test_the_database_of_vlm_lens(folder):
    found, values = open_activations(folder / "vlm_lens.db"), np.load(folder / "vlm_lens.npy")
    for layer in range(LAYERS):
        np.testing.assert_array_equal(found.read(role="language_model", layer=layer), values[layer])
