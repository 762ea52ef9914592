"""Estimates about a categorical answer: laws, axes, problems that cannot be computed, and known systems."""

import dataclasses
import json
from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from pid_jax import (
    MMI,
    CategoricalPID,
    CategoricalSpec,
    IMin,
    LinearClassifier,
    NetworkClassifier,
    ProductClassifier,
    Status,
    estimate_categorical_pid,
)
from pid_jax.categorical.assemble import COMBINED
from pid_jax.categorical.closed_union import with_measure
from pid_jax.pid.atoms import quantities_of
from tests.pid_jax.categorical.systems import PROBLEMS, SAMPLES, SPEC, draw, on_a_circle, two_bits, xor_of_signs

CONSTANT = 2  # a problem of `data` in which source_1 is constant


def estimate(*data, spec=SPEC, seed=0):
    return estimate_categorical_pid(*data, spec=spec, key=jax.random.key(seed))


def stacked(values):
    return np.stack([np.asarray(getattr(values, name)) for name in COMBINED])


def of(found):
    return stacked(quantities_of(found.atoms, found.information))


@pytest.fixture(scope="module")
def data():
    one, two, answer = draw()
    one[CONSTANT] = 7.0
    return one, two, np.array(["no", "yes"])[answer]


@pytest.fixture(scope="module")
def found(data):
    return estimate(*data)


def test_atoms_sum_to_the_informations_for_every_sample(found):
    for values in (quantities_of(found.atoms, found.information), found.pointwise):
        parts = {name: getattr(values, name) for name in COMBINED}
        np.testing.assert_allclose(parts["redundancy"] + parts["unique_1"], parts["i_1"], atol=1e-12)
        np.testing.assert_allclose(parts["redundancy"] + parts["unique_2"], parts["i_2"], atol=1e-12)
        atoms = sum(parts[name] for name in ("redundancy", "unique_1", "unique_2", "synergy"))
        np.testing.assert_allclose(atoms, parts["i_12"], atol=1e-12)


def test_estimates_are_means_of_the_shares_of_samples(found):
    np.testing.assert_allclose(stacked(found.pointwise).mean(axis=-1), of(found), atol=1e-12)
    assert stacked(found.pointwise).shape == (len(COMBINED), PROBLEMS, SAMPLES)


def test_what_is_reported_fits_together(found):
    np.testing.assert_array_equal(found.status, Status.OK)
    np.testing.assert_allclose(found.entropy, np.log(2))
    assert found.classes == ("no", "yes")
    assert found.dims == (2, 2)
    of_solver = found.gap - found.cell_loss.sum(axis=-1)
    assert (of_solver > -1e-12).all()
    assert (of_solver < 5e-4).all()
    assert (found.gap > 1e-4).all()
    scatter = stacked(found.pointwise).std(axis=-1) / np.sqrt(SAMPLES)
    varies = np.delete(np.arange(PROBLEMS), CONSTANT)
    assert (stacked(found.standard_error) >= scatter).all()
    assert (stacked(found.standard_error) < 2 * scatter)[:, varies].all()
    np.testing.assert_allclose(stacked(found.upper) - of(found), of(found) - stacked(found.lower), atol=1e-12)
    np.testing.assert_allclose(
        found.held_out.i_12 + found.learning.i_12, found.information.i_12, atol=1e-6, err_msg="corrected"
    )
    assert (found.information.i_12[:2] > 0.3).all()


def test_a_constant_source_has_no_information_and_the_rest_is_computed(found):
    np.testing.assert_array_equal(found.information.i_1[CONSTANT], 0)
    assert found.classifier[CONSTANT, 0] == "frequencies"
    assert abs(found.atoms.unique_1[CONSTANT]) < 1e-6
    assert found.information.i_2[CONSTANT] > 0.05
    (note,) = [note for note in found.notes if "source_1" in note]
    assert note.startswith(f"problem {CONSTANT}: ")


def test_swapped_sources_swap_the_atoms(data, found):
    one, two, answer = data
    swapped = estimate(two, one, answer)
    np.testing.assert_allclose(swapped.information.i_1, found.information.i_2, atol=1e-4)
    np.testing.assert_allclose(swapped.atoms.unique_2, found.atoms.unique_1, atol=0.01)
    np.testing.assert_allclose(swapped.atoms.synergy, found.atoms.synergy, atol=0.01)


def test_a_batch_is_what_its_problems_are_alone(data, found):
    one, two, answer = data
    alone = estimate(one[1], two[1], answer)
    assert alone.status.shape == ()
    np.testing.assert_allclose(of(alone), of(found)[:, 1], atol=1e-5)
    np.testing.assert_allclose(stacked(alone.standard_error), stacked(found.standard_error)[:, 1], atol=1e-5)
    assert "[" in repr(alone)


def test_variables_that_leave_out_leading_axes_are_the_same_for_all(data, found):
    one, two, answer = data
    shaped = estimate(one.reshape(2, 2, SAMPLES, -1), two.reshape(2, 2, SAMPLES, -1), answer)
    np.testing.assert_array_equal(of(shaped).reshape(len(COMBINED), PROBLEMS), of(found))
    shared = estimate(one, two[0], answer)
    spread = estimate(one, np.stack([two[0]] * PROBLEMS), np.stack([answer] * PROBLEMS))
    np.testing.assert_allclose(of(shared), of(spread), atol=1e-5)


def test_problems_that_cannot_be_computed_leave_the_others_alone(data, found):
    one, two, answer = (x.copy() for x in data)
    one[0, 3, 1] = np.nan
    answers = np.stack([answer] * PROBLEMS)
    answers[3] = "yes"
    broken = estimate(one, two, answers)
    np.testing.assert_array_equal(broken.status, [Status.NOT_FINITE, Status.OK, Status.OK, Status.CONSTANT])
    np.testing.assert_allclose(of(broken)[:, 1], of(found)[:, 1], atol=1e-5)
    for bad in (0, 3):
        assert np.isnan(of(broken)[:, bad]).all()
        assert np.isnan(stacked(broken.standard_error)[:, bad]).all()
        assert np.isnan(stacked(broken.pointwise)[:, bad]).all()
    text = repr(broken)
    assert "NOT_FINITE" in text
    assert "LinearClassifier (5), frequencies (1)" in text  # of the two problems that can be computed


def test_a_class_that_one_problem_lacks_changes_nothing_there(data, found):
    one, two, answer = data
    answers = np.stack([answer] * PROBLEMS).astype("<U5")
    answers[3, ::5] = "maybe"
    mixed = estimate(one, two, answers)
    np.testing.assert_array_equal(mixed.status, Status.OK)
    np.testing.assert_allclose(of(mixed)[:, :3], of(found)[:, :3], atol=0.02)
    np.testing.assert_allclose(mixed.gap[:3], found.gap[:3], atol=0.01)
    assert np.isfinite(stacked(mixed.pointwise)).all()


def test_a_wide_interval_of_the_union_information_is_noted(data):
    """Only where informations leave it open; more cells are advised where there can be more."""
    one, two, answer = on_a_circle(0, 3)
    for cells in (2, 10_000):
        spec = dataclasses.replace(SPEC, cells=cells)
        notes = [note for note in estimate(one, two, answer, spec=spec).notes if "union" in note]
        assert len(notes) == (cells == 2)
        assert all("more cells" in note for note in notes)
    alone = estimate(one, np.ones_like(two), answer, spec=dataclasses.replace(SPEC, cells=2))
    assert not any("union" in note for note in alone.notes)


def test_results_are_kept_in_files(found, tmp_path):
    bits = found.in_bits()
    np.testing.assert_allclose(of(bits), of(found) / np.log(2))
    np.testing.assert_allclose(bits.entropy, 1)
    bits = dataclasses.replace(bits, classes=(5, "other (pooled)"))  # of answers that are numbers
    again = CategoricalPID.load(bits.save(tmp_path / "found.nc"))
    np.testing.assert_array_equal(of(again), of(bits))
    np.testing.assert_array_equal(stacked(again.pointwise), stacked(bits.pointwise))
    np.testing.assert_array_equal(again.classifier, bits.classifier)
    assert (again.classes, again.dims, again.level, again.notes) == (bits.classes, bits.dims, bits.level, bits.notes)
    assert repr(again) == repr(bits)
    labeled = found.to_xarray(axes=["layer"])
    assert labeled["i_12"].dims == ("layer",)
    assert labeled["pointwise"].dims == ("layer", "sample", "quantity")
    assert labeled["synergy"].attrs["units"] == "nats"
    assert json.loads(json.dumps(found.settings))["folds"] == SPEC.folds


@given(
    seed=st.integers(0, 2**16),
    clarity=st.tuples(st.floats(0, 6), st.floats(0, 6)),
    yes=st.sampled_from([0.1, 0.3, 0.5]),
)
def test_nothing_exceeds_the_entropy_of_the_answer_beyond_its_error(seed, clarity, yes):
    found = estimate(*draw(seed, clarity, yes=yes), seed=seed)
    np.testing.assert_allclose(found.entropy, entropy([yes, 1 - yes]), rtol=1e-6)
    reach = 3 * stacked(found.standard_error) + 1e-6
    assert (of(found) <= found.entropy + reach).all()
    assert (of(found) >= -found.entropy - reach).all()
    assert (found.union_lower <= found.union_upper + 1e-9).all()


@pytest.mark.parametrize("clarity", [0, 3, 40])
def test_of_many_classes_nothing_exceeds_the_entropy(clarity):
    """Six classes on a circle: sources that know nothing of them, much, and all."""
    one, two, answer = on_a_circle(0, clarity)
    found = estimate(one, two, answer)
    np.testing.assert_allclose(found.entropy, entropy(np.bincount(answer) / SAMPLES), rtol=1e-6)
    assert (of(found) <= found.entropy + 1e-6).all()
    limits = {0: (0, 0.03), 3: (0.7, 0.95), 40: (0.99, 1)}[clarity]
    for values in (found.information.i_1, found.information.i_2, found.information.i_12 if clarity != 3 else ()):
        assert all(limits[0] <= value / np.log(6) <= limits[1] for value in values)


@pytest.mark.parametrize("measure", [MMI(), IMin()])
def test_measures_without_a_solver(measure, data, found):
    spec = dataclasses.replace(SPEC, redundancy=measure)
    other = estimate(*data, spec=spec)
    np.testing.assert_array_equal(other.information.i_12, found.information.i_12)
    least = np.minimum(found.information.i_1, found.information.i_2)
    if isinstance(measure, MMI):
        np.testing.assert_allclose(other.atoms.redundancy, least, atol=1e-12)
    else:
        groups = [data[2] == name for name in found.classes]
        shares = np.stack([found.pointwise.i_1, found.pointwise.i_2])
        expected = sum(shares[..., group].sum(axis=-1).min(axis=0) for group in groups) / SAMPLES
        np.testing.assert_allclose(other.atoms.redundancy, expected, atol=1e-12)
    assert (other.atoms.redundancy <= least + 1e-12).all()
    assert (np.delete(other.atoms.redundancy, CONSTANT) > 0.05).all()
    np.testing.assert_array_equal(other.gap, 0)
    again = with_measure(found, measure)  # of the same predictions
    for part in ("atoms", "standard_error", "lower", "upper", "pointwise"):
        jax.tree.map(partial(np.testing.assert_allclose, atol=1e-9), getattr(again, part), getattr(other, part))
    json.dumps(again.settings)
    np.testing.assert_allclose(stacked(other.pointwise).mean(axis=-1), of(other), atol=1e-12)


def test_settings_and_keys_of_the_wrong_kind_are_refused(data):
    with pytest.raises(TypeError, match="spec"):
        estimate_categorical_pid(*data, spec="linear", key=jax.random.key(0))
    with pytest.raises(TypeError, match="key"):
        estimate_categorical_pid(*data, spec=SPEC, key=0)


def test_progress_is_reported(data):
    steps = []
    estimate_categorical_pid(
        *data, spec=SPEC, key=jax.random.key(0), progress=lambda done, of: steps.append((done, of))
    )
    assert steps == [(number, 5) for number in range(1, 6)]


@pytest.mark.slow
def test_two_independent_bits(key):
    """I(bit; bit ± 1.2 + noise) = .422 nats: all of it is unique to its source, to three standard errors."""
    found = estimate_categorical_pid(*two_bits(0, 1000), spec=CategoricalSpec(classifier=LinearClassifier()), key=key)
    truth = {"redundancy": 0, "unique_1": 0.422, "unique_2": 0.422, "synergy": 0, "i_12": 0.844}
    for name, value in truth.items():
        error = getattr(found.standard_error, name)
        assert abs(getattr(quantities_of(found.atoms, found.information), name) - value) < 3 * error, name
        assert error < 0.06


@pytest.mark.slow
def test_nothing_to_learn_reads_as_nothing(key):
    rng = np.random.default_rng(0)
    data = [rng.normal(size=(20, 500, 8)), rng.normal(size=(20, 500, 8)), rng.integers(0, 4, 500)]
    found = estimate_categorical_pid(*data, spec=CategoricalSpec(), key=key)
    assert np.abs(of(found)).mean(axis=1).max() < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("classifier", [ProductClassifier(), NetworkClassifier()])
def test_exclusive_or_is_synergy(classifier, key):
    data = xor_of_signs(0, 2000)
    found = estimate_categorical_pid(*data, spec=CategoricalSpec(classifier=classifier), key=key)
    # Products have half of the information of signs.
    assert found.atoms.synergy > (0.25 if isinstance(classifier, ProductClassifier) else 0.55)
    assert abs(found.atoms.unique_1) + abs(found.atoms.unique_2) + abs(found.atoms.redundancy) < 0.02
    blind = estimate_categorical_pid(*data, spec=CategoricalSpec(classifier=LinearClassifier()), key=key)
    assert blind.information.i_12 < 0.02
