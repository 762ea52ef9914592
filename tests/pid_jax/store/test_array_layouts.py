"""Arrays by name become states by role and layer: names, axes, tables, tokens, conditions, copies."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from pid_jax import (
    PCA,
    ActivationStore,
    PIDSpec,
    State,
    StoreBlocks,
    StudyModel,
    StudySpec,
    open_activations,
    run_study,
)
from pid_jax.settings.gaussianize import Copula
from pid_jax.store import NORM, StoreError
from pid_jax.store.layout import Slot, place_arrays
from pid_jax.store.open import open_conditions
from pid_jax.study.config import default_targets

COUNT, WIDTH, LAYERS, TOKENS = 120, 6, 3, 5
RNG = np.random.default_rng(0)
STATES = {(role, layer): RNG.normal(size=(COUNT, WIDTH)) for role in ("V1", "IT", "mt") for layer in range(LAYERS)}
BY_NAME = {f"{role}/layer_{layer}": states for (role, layer), states in STATES.items()}
TABLE = {
    "id": [f"q{(7 * row) % COUNT:03d}" for row in range(COUNT)],
    "task": ["ab"[row % 2] for row in range(COUNT)],
    "answer": ["yes" if row % 3 else "no" for row in range(COUNT)],
    "correct": [row % 5 > 0 for row in range(COUNT)],
}


@pytest.mark.parametrize(
    ("name", "role", "layer"),
    [
        ("image/layer_12", "image", 12),
        ("layer_3/question", "question", 3),
        ("image_7", "image", 7),
        ("012/last", "last", 12),
        ("norm/last", "last", NORM),
        ("blocks.4.hook_resid_post", "hook_resid_post", 4),
        ("model.layers.10", "model", 10),
        ("layer_3/V1", "V1", 3),
        ("V1", "V1", None),
        ("hidden_states_5", "state", 5),
    ],
)
def test_names_that_need_no_layout(name, role, layer):
    found = place_arrays([name], None)[name]
    assert found.layer == layer
    assert found.role == role


def test_a_pattern_may_have_endings_of_files():
    (found,) = place_arrays(["a/b/h_03"], "{condition}/{role}/h_{layer}.npy").values()
    assert found == Slot(role="b", layer=3, condition="a")


def check_states(found, order=None):
    rows = np.arange(COUNT) if order is None else order
    assert found.roles == ("IT", "V1", "mt")
    assert found.layers == (0, 1, 2)
    for (role, layer), states in STATES.items():
        assert np.array_equal(found.read(role=role, layer=layer), states[rows])


def test_rows_are_sorted_by_the_ids_of_the_table():
    found = open_activations(BY_NAME, table=TABLE)
    order = np.argsort(TABLE["id"])
    check_states(found, order)
    assert found.ids.tolist() == sorted(TABLE["id"])
    assert found.columns["task"].tolist() == [TABLE["task"][row] for row in order]
    assert found.columns["predicted"].tolist() == [TABLE["answer"][row] for row in order]


def test_tables_of_all_kinds_are_the_same(tmp_path):
    frame = pd.DataFrame(TABLE)
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "t.parquet")
    wanted = open_activations(BY_NAME, table=TABLE).columns
    for table in (frame, tmp_path / "t.csv", str(tmp_path / "t.tsv"), tmp_path / "t.parquet"):
        found = open_activations(BY_NAME, table=table).columns
        assert {name: values.tolist() for name, values in found.items()} == {k: v.tolist() for k, v in wanted.items()}


def test_layers_are_an_axis():
    stacked = {role: np.stack([STATES[role, layer] for layer in range(LAYERS)]) for role in ("V1", "IT", "mt")}
    check_states(open_activations(stacked))
    check_states(
        open_activations({role: one.transpose(1, 0, 2) for role, one in stacked.items()}, table={"task": ["a"] * COUNT})
    )
    check_states(
        open_activations({role: one.transpose(2, 1, 0) for role, one in stacked.items()}, axes="feature sample layer")
    )


def test_one_file_a_sample(tmp_path):
    for row, sample in enumerate(TABLE["id"]):
        np.savez(
            tmp_path / f"{sample}.npz",
            **{role: np.stack([STATES[role, k][row] for k in range(3)]) for role in ("V1", "IT", "mt")},
        )
    found = open_activations(tmp_path, layout="{sample}/{role}", table=TABLE)
    check_states(found, np.argsort(TABLE["id"]))
    alone = open_activations(tmp_path, layout="{sample}/{role}")
    assert alone.ids.tolist() == sorted(TABLE["id"])


def test_a_dataset_has_its_own_ids_and_answers():
    data = {f"{role}_{layer}": (("id", "d"), states) for (role, layer), states in STATES.items()}
    dataset = xr.Dataset(data, coords={"id": TABLE["id"], "answer": ("id", TABLE["answer"])})
    found = open_activations(dataset)
    check_states(found, np.argsort(TABLE["id"]))
    shuffled = pd.DataFrame(TABLE).sample(frac=1, random_state=1)
    check_states(open_activations(dataset, table=shuffled), np.argsort(TABLE["id"]))


def test_tokens_are_averaged_by_masks():
    tokens = RNG.normal(size=(COUNT, TOKENS, WIDTH)).astype(np.float32)
    image = RNG.random((COUNT, TOKENS)) < 0.6
    image[:, 0] = True
    masks = {"image": image, "last": -1, "first": np.zeros(COUNT, int)}
    found = open_activations({"h.0": tokens, "h.1": 2 * tokens}, masks=masks)
    assert found.roles == ("first", "image", "last")
    means = np.stack([one[own].mean(axis=0, dtype=np.float64) for one, own in zip(tokens, image, strict=True)])
    np.testing.assert_array_equal(found.read(role="image", layer=0), means.astype(np.float32))
    np.testing.assert_array_equal(found.read(role="last", layer=1), 2 * tokens[:, -1])
    np.testing.assert_array_equal(found.read(role="first", layer=0, rows=[5, 3]), tokens[[5, 3], 0])


def test_tokens_of_samples_of_several_lengths(tmp_path):
    lengths = [3, 5, 4]
    states = [RNG.normal(size=(2, length, WIDTH)) for length in lengths]
    for row, one in enumerate(states):
        np.savez(tmp_path / f"s{row}.npz", states=one, image=np.arange(lengths[row]) < 2)
    masks = {"image": "{sample}/image", "last": -1}
    found = open_activations(tmp_path, layout="{sample}/states", axes="layer token feature", masks=masks)
    for row, one in enumerate(states):
        np.testing.assert_allclose(found.read(role="image", layer=1)[row], one[1, :2].mean(axis=0), rtol=1e-15)
        np.testing.assert_array_equal(found.read(role="last", layer=0)[row], one[0, -1])


def test_conditions_are_knockouts():
    arrays = {
        f"{c}/{name}": states + k for k, c in enumerate(("cut@0-1", "baseline")) for name, states in BY_NAME.items()
    }
    layout = open_conditions(arrays, layout=dataclasses.replace(_layout("{condition}/{role}/layer_{layer}")))
    assert [one.manifest.condition["name"] for one in layout] == ["baseline", "cut@0-1"]
    assert np.array_equal(layout[1].read(role="V1", layer=0), STATES["V1", 0])


def _layout(pattern):
    from pid_jax import ArrayLayout

    return ArrayLayout(pattern=pattern)


@pytest.mark.parametrize(
    ("columns", "correct", "gold"),
    [
        ({"answer": ["Yes.", "no"], "gold": ["yes", "yes"]}, [True, False], ["yes", "yes"]),
        ({"answer": ["a", "b"], "correct": ["1", "0"]}, [True, False], ["a", ""]),
        ({"gold": ["a", "b"]}, [False, False], ["a", "b"]),
        ({}, [False, False], ["", ""]),
    ],
)
def test_what_a_table_leaves_out(columns, correct, gold):
    found = open_activations({"x_0": np.zeros((2, 3))}, table=columns or None).columns
    assert found["correct"].tolist() == correct
    assert found["gold"].tolist() == gold
    assert found["task"].tolist() == ["all", "all"]


def test_a_copy_is_equal_and_leaves_out_what_is_not_finite(tmp_path):
    arrays = {name: states.copy() for name, states in BY_NAME.items()}
    arrays["V1/layer_1"][4, 2] = np.nan
    store = ActivationStore.from_arrays(tmp_path / "s", arrays, table=TABLE, shard_size=50)
    assert [failure.id for failure in store.failures] == [TABLE["id"][4]]
    assert "V1" in store.failures[0].message
    kept = [row for row in np.argsort(TABLE["id"]) if row != 4]
    check_states(store, kept)
    assert store.columns["predicted"].tolist() == [TABLE["answer"][row] for row in kept]
    assert not store.verify()
    again = ActivationStore.from_arrays(tmp_path / "s", arrays, table=TABLE, shard_size=50)
    assert again.manifest == store.manifest
    with pytest.raises(StoreError, match="content"):
        ActivationStore.from_arrays(tmp_path / "s", BY_NAME, table=TABLE, shard_size=50)


SPEC = StudySpec(
    pid=PIDSpec(reduction=PCA(dim=(3, 3, 2)), gaussianize=Copula()),
    compared=(),
    compared_measures=(),
    replicates=0,
    source_1_role="V1",
    source_2_role="IT",
    target=State("mt"),
)


def test_a_study_of_arrays_equals_that_of_their_copy(tmp_path):
    arrays = open_activations(BY_NAME, table=TABLE)
    store = ActivationStore.from_arrays(tmp_path / "s", arrays)
    one, other = (run_study([StudyModel(name="m", baseline=states)], spec=SPEC) for states in (arrays, store))
    assert one.attrs["source_1_label"] == "V1"
    for name in ("redundancy", "unique_1", "unique_2", "synergy", "lower", "upper"):
        if name in one:
            np.testing.assert_array_equal(one[name].values, other[name].values)
    assert np.isfinite(one["redundancy"].values).all()


def test_a_target_of_each_layer_is_that_of_the_layer_alone():
    arrays = open_activations(BY_NAME, table=TABLE)
    each = run_study(
        [StudyModel(name="m", baseline=arrays)], spec=dataclasses.replace(SPEC, target=State("mt", "each"))
    )
    last = run_study([StudyModel(name="m", baseline=arrays)], spec=dataclasses.replace(SPEC, target=State("mt", 1)))
    np.testing.assert_allclose(each["synergy"].sel(layer=1).values, last["synergy"].sel(layer=1).values, rtol=1e-9)
    assert not np.allclose(each["synergy"].sel(layer=0).values, last["synergy"].sel(layer=0).values)


@pytest.mark.parametrize("layer", [-1, "first", True, 1.5])
def test_layers_of_a_state_that_are_none(layer):
    with pytest.raises(ValueError, match="layer"):
        State("mt", layer)


def test_default_targets_are_those_that_are_there():
    assert [one.label for one in default_targets(open_activations(BY_NAME, table=TABLE))] == ["model's answer"]
    with_last = {f"last/layer_{layer}": np.ones((4, 2)) for layer in range(2)}
    assert default_targets(open_activations(with_last)) == (State("last"),)
    with pytest.raises(ValueError, match="target"):
        default_targets(open_activations(BY_NAME))


def test_blocks_of_arrays_are_all_rows_once():
    found = open_activations(BY_NAME, table=TABLE)
    parts = {"source_1": ("V1", 0), "source_2": ("IT", 0), "target": ("mt", 2)}
    blocks = list(StoreBlocks(store=found, **parts, where={"task": "a"}))
    rows = [row for row in range(COUNT) if TABLE["task"][row] == "a"]
    np.testing.assert_array_equal(np.concatenate([block[2] for block in blocks]), STATES["mt", 2][rows])
    some = list(StoreBlocks(store=found, **parts, ids=TABLE["id"][:3]))
    np.testing.assert_array_equal(np.concatenate([block[0] for block in some]), STATES["V1", 0][:3])
