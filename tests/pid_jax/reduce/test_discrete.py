"""Discrete variables: noted on every path, and refused where the information is impossible."""

from functools import partial

import jax
import numpy as np
import pytest

from pid_jax.decompose.result import ATOMS, PIDEstimate
from pid_jax.estimate.samples import estimate_pid
from pid_jax.gaussian.status import Status
from pid_jax.inference.bootstrap import bootstrap_pid
from pid_jax.inference.comparison import compare_pid
from pid_jax.inference.permutation import permutation_test
from pid_jax.inference.posterior import posterior_pid
from pid_jax.reduce.discrete import DiscreteTally, find_discrete
from pid_jax.settings.estimate import NoReduction, PIDSpec
from pid_jax.settings.gaussianize import Copula, NoGaussianization
from pid_jax.stream.pid import stream_pid

N = 800
WAYS = [PIDSpec(), PIDSpec(gaussianize=NoGaussianization()), PIDSpec(NoReduction(), NoGaussianization())]


@pytest.fixture(scope="module")
def separated():
    """Four well separated classes: states, an unrelated source, and the classes."""
    rng = np.random.default_rng(0)
    classes = rng.integers(4, size=N)
    return np.eye(4)[classes] * 6 + rng.normal(size=(N, 4)), rng.normal(size=(N, 2)), classes


def one_hot(classes):
    return np.eye(4)[classes]


def blocks_of(*variables):
    return [tuple(parts) for parts in zip(*(np.array_split(x, 5) for x in variables), strict=True)]


# Detection


def test_rows_are_counted_before_columns():
    rng = np.random.default_rng(1)
    classes = rng.permutation(np.arange(400) % 4)
    rotated = one_hot(classes) @ np.linalg.qr(rng.normal(size=(4, 4)))[0]
    mixed = np.column_stack([rng.normal(size=400), classes, np.maximum(rng.normal(size=400), 0)])
    for samples, distinct, columns in ((one_hot(classes), 4, 0), (rotated, 4, 0), (mixed, 0, 2), (mixed[:, :1], 0, 0)):
        found = find_discrete(samples[None])
        assert (found.distinct.tolist(), found.columns.tolist()) == ([distinct], [columns])
        assert found.entropy[0] == pytest.approx(np.log(4) if distinct else np.inf, rel=1e-12)


@pytest.mark.parametrize(
    ("values", "distinct"),
    [
        (np.arange(20) % 2, 2),  # few samples
        (np.array([0.0, -0.0, 1.0] * 100), 2),  # zero has two signs
        (np.full(50, 3.0), 0),  # a constant tells nothing, and is dealt with elsewhere
        (np.arange(1000) % 99, 99),
        (np.arange(1000) % 101, 0),
        (np.arange(12), 0),
    ],
)
def test_what_counts_as_few(values, distinct):
    assert find_discrete(np.asarray(values, float)[None, :, None]).distinct.tolist() == [distinct]


def test_blocks_give_the_counts_of_the_whole():
    rng = np.random.default_rng(2)
    labels, states = rng.integers(5, size=(3000, 1)), rng.normal(size=(3000, 2))
    whole = find_discrete(labels[None].astype(float))
    for parts in (blocks_of(labels, states), iter(blocks_of(labels, states))):
        tally = DiscreteTally(parts, 2)
        watched = tally.watch()
        assert (iter(watched) is watched) == (iter(parts) is parts)
        assert len(list(watched)) == 5
        if iter(parts) is not parts:
            assert len(list(watched)) == 5  # a second pass is not counted again
        one, other = tally.values()
        assert one is not None
        assert other is None
        assert one.distinct.tolist() == whole.distinct.tolist()
        np.testing.assert_allclose(one.entropy, whole.entropy, rtol=1e-12)


# Impossible numbers


@pytest.mark.slow
@pytest.mark.parametrize("spec", WAYS[1:])  # ranks find hardly more than the entropy here
def test_more_than_the_entropy_is_refused(separated, key, spec):
    states, other, classes = separated
    with pytest.raises(ValueError, match=r"target.*1\.3\d"):
        estimate_pid(states, other, one_hot(classes), spec=spec, key=key)
    with pytest.raises(ValueError, match=r"source_2.*distinct"):
        estimate_pid(other, one_hot(classes), states, spec=spec, key=key)


@pytest.mark.slow
@pytest.mark.parametrize("spec", WAYS)
def test_a_binary_copy_is_refused_in_words(key, spec):
    rng = np.random.default_rng(3)
    sign = (rng.normal(size=(N, 1)) > 0).astype(float)
    with pytest.raises(ValueError, match=r"target.*0\.69\d"):
        estimate_pid(sign, rng.normal(size=(N, 1)), sign, spec=spec, key=key)


@pytest.mark.slow
def test_in_a_batch_it_is_a_status(separated, key, tmp_path):
    states, other, classes = separated
    noise = np.random.default_rng(4).normal(size=states.shape)
    found = estimate_pid(np.stack([noise, states]), other, one_hot(classes), spec=WAYS[1], key=key)
    assert found.status.tolist() == [Status.OK, Status.EXCEEDS_ENTROPY]
    for values in (found.atoms, found.bias, found.lower, found.upper):
        for name in ATOMS:
            assert np.isfinite(getattr(values, name)).tolist() == [True, False]
    assert np.isnan(found.information.i_12[1])
    alone = estimate_pid(noise, other, one_hot(classes), spec=WAYS[1], key=key)
    assert float(alone.information.i_1) == pytest.approx(found.information.i_1[0], abs=5e-3)
    assert "EXCEEDS_ENTROPY" in repr(found)
    again = PIDEstimate.load(found.save(tmp_path / "found.nc"))
    assert repr(again) == repr(found)
    assert "discrete" in Status.EXCEEDS_ENTROPY.message


@pytest.mark.slow
def test_a_continuous_copy_is_still_infinite_information(key):
    x, y = np.random.default_rng(5).normal(size=(2, N, 1))
    found = estimate_pid(x, y, x, key=key)
    assert found.status == Status.INFINITE_INFORMATION
    assert found.notes == ()


@pytest.mark.slow
def test_sampling_alone_is_not_refused(key):
    """A rare class has hardly any entropy, and independent variables some information by chance."""
    x, y = np.random.default_rng(9).normal(size=(2, N, 8))
    rare = (np.arange(N) % 400 == 0).astype(float)[:, None]
    assert estimate_pid(x, y, rare, spec=WAYS[1], key=key).status == Status.OK


# Notes on every path


def paths():
    """Every function of three arrays, with what it says."""
    spec = PIDSpec(gaussianize=Copula())
    return {
        "estimate": lambda *x, key: estimate_pid(*x, spec=spec, key=key).notes,
        "raw": lambda *x, key: estimate_pid(*x, spec=WAYS[2], key=key).notes,
        "bootstrap": lambda *x, key: bootstrap_pid(*x, key=key, resamples=100, level=0.9).estimated.notes,
        "permutation": lambda *x, key: permutation_test(*x, key=key, resamples=20).notes,
        "comparison": lambda *x, key: compare_pid(x, (x[0] + 1e-3 * x[1][:, :1], *x[1:]), key=key, resamples=50).notes,
        "posterior": lambda *x, key: posterior_pid(*x, key=key, draws=200).notes,
        "stream": lambda *x, key: stream_pid(blocks_of(*x), key=key).notes,
    }


@pytest.mark.slow
@pytest.mark.parametrize("path", paths())
def test_labels_are_noted_whatever_their_coding(separated, key, path):
    states, other, classes = separated
    for coding in (np.arange(4), np.array([2, 0, 3, 1])):
        notes = paths()[path](states, other, coding[classes][:, None], key=key)
        assert any("target is discrete, with 4 distinct values" in note for note in notes)
        assert not any("source" in note and "discrete" in note for note in notes)
    notes = paths()[path](states, np.stack([classes % 2, classes // 2], axis=1), other, key=key)
    assert any("source_2 is discrete" in note for note in notes)


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize(
    "run",
    [
        partial(posterior_pid, spec=WAYS[1]),
        partial(bootstrap_pid, spec=WAYS[1]),
        lambda *x, key: stream_pid(blocks_of(*x), key=key),
    ],
)
def test_impossible_numbers_are_refused_on_every_path(separated, key, run):
    states, other, classes = separated
    with pytest.raises(ValueError, match=r"target.*distinct"):
        run(states, other, one_hot(classes)[:, :3], key=key)


@pytest.mark.slow
def test_p_values_stand_where_the_number_is_impossible(separated, key):
    states, other, classes = separated
    test = permutation_test(states, other, one_hot(classes), key=key, resamples=20)
    assert float(test.p_value.i_1) == pytest.approx(1 / 21)
    assert "target is discrete" in repr(test)


@pytest.mark.slow
def test_columns_are_noted_before_components_mix_them(key):
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(2, N, 2))
    target = np.column_stack([x[:, 0] + rng.normal(size=N), x[:, 1] > 0])
    (note,) = estimate_pid(x, y, target, key=key).notes
    assert note.startswith("target has 1 of 2 columns with few distinct values")


@pytest.mark.slow
def test_layers_are_named(key):
    rng = np.random.default_rng(7)
    x, y, t = rng.normal(size=(3, N, 2))
    layers = np.stack([x, np.sign(x), x])
    (note,) = estimate_pid(layers, y, t, key=key).notes
    assert note.startswith("source_1 is discrete in problem 1, with 4 distinct values")


@pytest.mark.slow
def test_continuous_variables_have_no_notes(key):
    x, y, t = np.random.default_rng(8).normal(size=(3, N, 2))
    half = x.astype(np.float16)
    for source in (x, half, jax.numpy.asarray(x, "bfloat16")):
        assert estimate_pid(source, y, t, key=key).notes == ()
