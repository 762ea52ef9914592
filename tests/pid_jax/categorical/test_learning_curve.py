"""Informations at growing numbers of samples, and what is said about them."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy.stats import norm

from pid_jax import CategoricalSpec, LearningCurve, LinearClassifier, Status, learning_curve
from pid_jax.categorical.estimate import predict_classified
from pid_jax.categorical.samples import read_classified
from pid_jax.decompose.result import INFORMATION
from pid_jax.gaussian.information import Information
from pid_jax.plot.learning import plot_learning_curve
from pid_jax.runtime.devices import use_devices
from tests.pid_jax.categorical.systems import PROBLEMS, SAMPLES, SPEC, draw, two_bits

FRACTIONS = (0.5, 1.0)


def stacked(values):
    return np.stack([np.asarray(getattr(values, name)) for name in INFORMATION])


@pytest.fixture(scope="module")
def curve():
    one, two, answer = draw()
    two[3, 0, 0] = np.nan
    return learning_curve(
        one.reshape(2, 2, SAMPLES, -1),
        two.reshape(2, 2, SAMPLES, -1),
        answer,
        spec=SPEC,
        key=jax.random.key(0),
        fractions=FRACTIONS,
    )


def test_sizes_grow_and_informations_belong_to_them(curve):
    np.testing.assert_array_equal(curve.samples, [SAMPLES // 2, SAMPLES])
    assert stacked(curve.information).shape == (3, 2, 2, 2)
    np.testing.assert_allclose(stacked(curve.information) - stacked(curve.held_out), stacked(curve.learning), atol=1e-6)
    np.testing.assert_allclose(stacked(curve.change), np.diff(stacked(curve.information), axis=1)[:, 0])
    before, last = np.moveaxis(stacked(curve.standard_error), 1, 0)
    np.testing.assert_allclose(stacked(curve.change_error) ** 2, np.maximum(before**2 - last**2, 0))
    assert (stacked(curve.learning)[2, :, 0] > 0).all()
    np.testing.assert_allclose(curve.entropy.ravel()[:3], np.log(2))


def test_all_samples_give_what_the_estimate_has(curve):
    one, two, answer = draw()
    with use_devices():
        keys = jax.random.split(jax.random.fold_in(jax.random.key(0), 0), 3)
        found = predict_classified(read_classified(one, two, answer, SPEC), SPEC, keys).pointwise.information
    np.testing.assert_allclose(stacked(curve.information)[:, -1].reshape(3, PROBLEMS)[:, :3].T, found[:3], atol=1e-6)


def test_a_problem_that_cannot_be_computed_is_left_out(curve):
    assert curve.status[1, 1] == Status.NOT_FINITE
    assert np.isnan(stacked(curve.information)[:, :, 1, 1]).all()
    assert np.isfinite(stacked(curve.information)[:, :, 0]).all()


def test_statements_say_what_is_missing_and_whether_the_estimate_moves(curve):
    alone = curve.reshape((PROBLEMS,)).take(0)
    for name, text in zip(INFORMATION, alone.statements, strict=True):
        assert f"{getattr(alone.learning, name)[-1]:.3f}" in text
        assert (", more than" in text) == bool(getattr(alone.moves, name))
        assert f"{norm.ppf(0.975) * getattr(alone.change_error, name):.3f}" in text
        assert f"{SAMPLES}" in text
        assert text in repr(alone)
    assert "NOT_FINITE" in repr(curve)
    broken = curve.reshape((PROBLEMS,)).take(3)
    assert not any("than" in text for text in broken.statements)
    moved = replace(alone, change=Information(i_1=np.array(9.0), i_2=np.array(-9.0), i_12=np.array(-1e-9)))
    verdicts = [", more than" in text for text in moved.statements]
    assert verdicts == [True, True, False]
    assert "changes by +0.000" in moved.statements[2]


def test_curves_are_kept_in_files(curve, tmp_path):
    bits = curve.in_bits()
    np.testing.assert_allclose(stacked(bits.information), stacked(curve.information) / np.log(2))
    again = LearningCurve.load(bits.save(tmp_path / "curve.nc"))
    np.testing.assert_array_equal(stacked(again.change_error), stacked(bits.change_error))
    assert repr(again) == repr(bits)
    assert curve.to_xarray(axes=["task", "layer"])["i_12"].dims == ("size", "task", "layer")


def test_the_figure_has_a_panel_for_each_problem(curve):
    figure = plot_learning_curve(curve)
    shown = [axes for axes in figure.axes if axes.axison]
    assert len(shown) == PROBLEMS
    line = next(line for line in shown[0].get_lines() if line.get_marker() == "o")
    np.testing.assert_array_equal(line.get_xdata(), curve.samples)
    np.testing.assert_allclose(line.get_ydata(), curve.information.i_1[:, 0, 0] / np.log(2))
    assert "bits" in shown[0].get_ylabel()
    for wrong, error in (({"unit": "hartleys"}, ValueError), ({}, TypeError)):
        with pytest.raises(error):
            plot_learning_curve(curve if wrong else "curve", **wrong)


@pytest.mark.parametrize("fractions", [(1.0,), 0.5, (0.5, 0.5), (1.0, 0.5), (0.0, 1.0), (0.5, 1.1), (0.01, 1.0)])
def test_fractions_that_mean_nothing_are_refused(fractions):
    with pytest.raises(ValueError, match="fractions"):
        learning_curve(*draw(), spec=SPEC, key=jax.random.key(0), fractions=fractions)


def test_settings_of_the_wrong_kind_are_refused():
    with pytest.raises(TypeError, match="spec"):
        learning_curve(*draw(), spec="linear", key=jax.random.key(0))


@pytest.mark.slow
def test_an_estimate_that_is_learned_seldom_moves(key):
    """Of 60 problems 3 are expected to move by chance; 9 is three and a half standard deviations above."""
    one, two, answer = two_bits(0, 800, dim=4, leading=(60,))
    spec = CategoricalSpec(classifier=LinearClassifier())
    curve = learning_curve(one, two, answer // 2, spec=spec, key=key, fractions=FRACTIONS)
    assert curve.moves.i_1.sum() <= 9
    np.testing.assert_allclose(curve.change_error.i_1.mean(), curve.change.i_1.std(), rtol=0.3)
