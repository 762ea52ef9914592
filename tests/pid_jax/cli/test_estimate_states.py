"""`pid-jax estimate --store`: two roles in every layer, and a state or an answer."""

import csv

import jax
import numpy as np
import pytest

from pid_jax import PCA, Copula, PIDEstimate, PIDSpec, estimate_pid
from pid_jax.categorical.result import CategoricalPID
from pid_jax.cli.main import main

N, LAYERS = 120, 3
ROLES = ("--source-1", "audio", "--source-2", "text")
QUICK = ("--dims", "3,3,3", "--gaussianize", "copula")


@pytest.fixture
def pid_jax(command_line):
    return command_line("pid-jax", main)


@pytest.fixture
def states():
    rng = np.random.default_rng(0)
    target = rng.normal(size=(N, 3))
    sources = {
        role: gain * target @ rng.normal(size=(3, 6)) + rng.normal(size=(LAYERS, N, 6))
        for role, gain in (("audio", 1.0), ("text", 0.5))
    }
    return sources | {"mt": target}


@pytest.fixture
def source(states, tmp_path):
    """A folder of arrays and its table, as options; "text" has a sample with NaN at layer 1."""
    folder = tmp_path / "acts"
    states["text"][1, 7] = np.nan
    for role in ("audio", "text"):
        (folder / role).mkdir(parents=True)
        for layer in range(LAYERS):
            np.save(folder / role / f"layer_{layer}.npy", states[role][layer])
    (folder / "mt").mkdir()
    np.save(folder / "mt" / f"layer_{LAYERS - 1}.npy", states["mt"])
    with (tmp_path / "samples.csv").open("w", newline="") as file:
        write = csv.writer(file).writerow
        write(["id", "task", "answer"])
        for i, row in enumerate(states["mt"]):
            write([f"q{i:03d}", "count" if i < 80 else "color", "yes" if row[0] > 0 else "no"])
    return ("--store", folder, "--table", tmp_path / "samples.csv", *ROLES)


def test_layers_equal_estimate_pid_of_the_same_arrays(pid_jax, source, states, tmp_path):
    path = tmp_path / "out.nc"
    code, text, err = pid_jax("estimate", *source, "--target", "mt", *QUICK, "--layers", "0,2", "--out", path)
    assert code == 0, err
    assert "left out" not in err  # the sample with NaN has it at layer 1
    arrays = [states[role][[0, 2]] for role in ("audio", "text")]
    spec = PIDSpec(reduction=PCA(dim=(3, 3, 3)), gaussianize=Copula())
    wanted = estimate_pid(*arrays, states["mt"], spec=spec, key=jax.random.key(0))
    found = PIDEstimate.load(path)
    np.testing.assert_array_equal(found.atoms.synergy, wanted.atoms.synergy)
    assert found.leading_axes["layer"].tolist() == [0, 2]
    rows = [line.split() for line in text.splitlines() if line.strip()[:1].isdigit()]
    assert [row[0] for row in rows] == ["0", "2"]
    np.testing.assert_allclose([float(row[2]) for row in rows], wanted.atoms.unique_1, atol=5.1e-4)


@pytest.mark.slow
def test_a_sample_that_is_not_finite_is_left_out_with_a_line(pid_jax, source, states, tmp_path):
    path = tmp_path / "out.nc"
    code, _, err = pid_jax("estimate", *source, "--target", "mt", *QUICK, "--tasks", "count", "--out", path)
    assert code == 0, err
    assert "1 of 80 samples left out: no answer, or states that are not finite." in " ".join(err.split())
    assert PIDEstimate.load(path).samples == 79


@pytest.mark.slow
def test_the_answer_is_the_default_target(pid_jax, source, tmp_path):
    path = tmp_path / "out.nc"
    code, text, err = pid_jax("estimate", *source, "--layers", "0", "--bits", "--out", path)
    assert code == 0, err
    assert "CategoricalPID of 1 problem" in text
    found = CategoricalPID.load(path)
    assert found.leading_axes["layer"].tolist() == [0]
    assert found.unit == "bits"
    assert found.information.i_12[0] <= found.entropy[0] <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--layers", "5"), "--layers needs some of [0, 1, 2], which both sources have, got 5."),
        (("--layers", "-1"), "--layers needs 'all' or layers such as 0,8-12, got '-1'."),
        (("--layers", "a"), "--layers needs 'all' or layers such as 0,8-12, got 'a'."),
        (("--source-1", "vision"), "--source-1 needs one of the roles audio, mt, text"),
        (("--source-2", "mt", "--layers", "0"), "--layers needs some of [2], which both sources have, got 0."),
        (("--tasks", "size"), "--tasks needs some of color, count, got 'size'."),
        (("--target", "none"), "needs the states of role 'none'"),
        (("--target", "answer,mt"), "--target needs one name, got 'answer,mt'"),
        (("--dims", "3,3,3"), "--dims needs the role of a state as --target, got the model's answer."),
    ],
)
def test_bad_options_are_one_line(pid_jax, source, options, message):
    code, _, err = pid_jax("estimate", *source, *options)
    assert (code, err.count("error:")) == (1, 1)
    assert message in " ".join(err.split())


def test_arrays_and_a_store_exclude_each_other(pid_jax, source, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    for given, message in (
        ((), "needs arrays or --store, got neither"),
        ((tmp_path / "a.npz", *source), "needs arrays or --store, got both"),
        ((tmp_path / "a.npz", "--layers", "3"), "--layers needs --store, got arrays"),
    ):
        code, _, err = pid_jax("estimate", *given)
        assert code == 1
        assert message in " ".join(err.split())
