"""Targets of a study: the readout of a model on disk, and what is computed with it."""

import dataclasses

import numpy as np
import pytest
from safetensors.numpy import load

from pid_jax.store import NORM, ActivationStore, StoreError, tensor_name
from pid_jax.store.merge import merge_stores
from pid_jax.store.readout import READOUT, Candidate, Readout, read_readout, write_readout
from pid_jax.store.targets import TARGETS, AnswerEmbedding, AnswerLogits, FinalNorm, LogitLens, target_reader
from tests import stores

WIDTH, LAYERS, SHARD = 5, (0, 2), 4
IDS = tuple(f"{i:02d}" for i in range(10))
TENSORS = (*(tensor_name(role, layer) for layer in LAYERS for role in ("image", "last")), tensor_name("last", NORM))


def make_readout(tokens=(3, 7, 8), *, is_centered=False, seed=0) -> Readout:
    values = np.random.default_rng(seed)
    rows = {token: np.random.default_rng(token).standard_normal(WIDTH + 1).astype(np.float32) for token in tokens}
    return Readout(
        is_centered=is_centered,
        eps=1e-3,
        weight=values.standard_normal(WIDTH).astype(np.float32),
        bias=values.standard_normal(WIDTH).astype(np.float32),
        candidates=tuple(Candidate(token=t, text=f"▁{t}", answers=(f"answer {t}",)) for t in tokens),
        embedding=np.array([row[:-1] for row in rows.values()], np.float32).reshape(-1, WIDTH),
        head_bias=np.array([row[-1] for row in rows.values()], np.float32),
    )


def states_of(name: str) -> np.ndarray:
    return np.random.default_rng(TENSORS.index(name)).standard_normal((len(IDS), WIDTH)).astype(np.float32)


def make_store(path, tensors=TENSORS, readout=None, ids=IDS, **changes) -> ActivationStore:
    fields = {"ids": ids, "tensors": tensors, "shard_size": SHARD} | changes
    store = ActivationStore.create(path, stores.manifest(**fields))
    for index in store.missing_shards():
        own = store.shard_ids(index)
        rows = [IDS.index(i) for i in own]
        arrays = {name: states_of(name)[rows] for name in tensors}
        store.write_shard(index, own, [stores.columns(i) for i in own], arrays)
    if readout is not None:
        write_readout(store.folder, readout, store.manifest.digest)
    return ActivationStore.open(path)


def normed(readout, state):
    """The norm of one state, entry by entry."""
    mean = sum(state) / WIDTH if readout.is_centered else 0.0
    size = (sum((x - mean) ** 2 for x in state) / WIDTH + readout.eps) ** 0.5
    return [w * (x - mean) / size + b for w, x, b in zip(readout.weight, state, readout.bias, strict=True)]


def logits_of(readout, state):
    """The centered logits of one normed state, entry by entry."""
    logits = [
        sum(a * b for a, b in zip(row, state, strict=True)) + bias
        for row, bias in zip(readout.embedding, readout.head_bias, strict=True)
    ]
    return np.array(logits) - sum(logits) / len(logits)


@pytest.fixture
def baseline(tmp_path):
    return make_store(tmp_path / "baseline", readout=make_readout())


@pytest.mark.parametrize("is_centered", [True, False])
def test_norm_and_logits_against_loops(is_centered):
    readout = make_readout(is_centered=is_centered)
    states = (np.random.default_rng(5).standard_normal((1500, WIDTH)) + 2).astype(np.float16)  # more than one block
    found = readout.norm(states)
    assert found.dtype == readout.logits(states).dtype == np.float32
    for row in (0, 1023, 1024, 1499):
        np.testing.assert_allclose(found[row], normed(readout, states[row].astype(float)), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            readout.logits(states)[row], logits_of(readout, states[row].astype(float)), rtol=1e-5, atol=1e-6
        )
    np.testing.assert_allclose(readout.logits(states).sum(axis=1), 0, atol=1e-5)


def test_logits_are_free_of_a_constant():
    readout, states = make_readout(), states_of(TENSORS[-1])
    moved = dataclasses.replace(readout, head_bias=readout.head_bias + 3, embedding=readout.embedding + 1)
    np.testing.assert_allclose(moved.logits(states), readout.logits(states), atol=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_expected_embedding_against_a_loop(temperature):
    readout, states = make_readout(), states_of(TENSORS[-1])
    found = readout.expected_embedding(states, temperature)
    for state, row in zip(states, found, strict=True):
        weights = np.exp(logits_of(readout, state.astype(float)) / temperature)
        expected = sum(w * e for w, e in zip(weights / weights.sum(), readout.embedding, strict=True))
        np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-6)


def test_expected_embedding_is_that_of_a_sure_answer_and_linear_in_logits_when_hot():
    readout, states = make_readout(), states_of(TENSORS[-1])
    sure = readout.expected_embedding(1e4 * states)
    np.testing.assert_allclose(sure, readout.embedding[readout.logits(1e4 * states).argmax(axis=1)], atol=1e-6)
    hot = 1e4
    change = hot * (readout.expected_embedding(states, hot).astype(float) - readout.embedding.mean(axis=0))
    linear = readout.logits(states) @ (readout.embedding - readout.embedding.mean(axis=0)) / len(readout.embedding)
    np.testing.assert_allclose(change, linear, atol=5e-3)


@pytest.mark.parametrize("kind", ["memory", "local"])
def test_file_is_read_as_it_was_written(tmp_path, kind):
    place = str(tmp_path) if kind == "local" else f"memory://bucket/{tmp_path.name}"
    made = make_readout(is_centered=True)
    store = make_store(place, readout=made)
    content = store.folder.read(READOUT).tobytes()
    found = read_readout(store.folder, store.manifest.digest)
    for one in dataclasses.fields(Readout):
        np.testing.assert_array_equal(getattr(found, one.name), getattr(made, one.name))
    assert set(load(content)) == {"weight", "bias", "embedding", "head_bias"}, "any reader of safetensors reads it"
    write_readout(store.folder, found, store.manifest.digest)
    assert store.folder.read(READOUT).tobytes() == content
    assert store.verify() == []


def test_whatever_byte_changes_is_noticed(baseline):
    path = baseline.path / READOUT
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(StoreError, match=r"readout\.safetensors"):
            read_readout(baseline.folder, baseline.manifest.digest)
    for changed in (content[:-1], content + b"\0", b"", b"nonsense" * 100):
        path.write_bytes(changed)
        (problem,) = baseline.verify()
        assert "readout.safetensors is damaged" in problem
        assert "delete this file and run the same extraction again" in problem


def test_readout_of_another_store_is_refused(baseline, tmp_path):
    other = make_store(tmp_path / "other", settings={"a": 2}, readout=make_readout())
    (other.path / READOUT).replace(baseline.path / READOUT)
    with pytest.raises(StoreError, match="belongs to another store"):
        target_reader(LogitLens(), baseline)
    assert len(baseline.verify()) == 1


def test_readers(baseline, tmp_path):
    """What every target is, of the baseline and of a knockout, which has no readout of its own."""
    readout = make_readout()
    knockout = make_store(tmp_path / "knockout", condition={"name": "cut"})
    for store in (baseline, knockout):
        final = store.read(role="last", layer=NORM)
        for target, expected in (
            (FinalNorm(), final),
            (AnswerLogits(), readout.logits(final)),
            (AnswerEmbedding(), readout.expected_embedding(final)),
            (AnswerEmbedding(temperature=2.0), readout.expected_embedding(final, 2.0)),
        ):
            reader = target_reader(target, baseline)
            assert (reader.layers(store), reader.is_same_for_all) == ((NORM,), True)
            np.testing.assert_array_equal(reader.read(store, NORM), expected)
            np.testing.assert_array_equal(reader.read(store, NORM, rows=[7, 2]), expected[[7, 2]])
        for target in (LogitLens(), LogitLens(of="answers")):
            reader = target_reader(target, baseline)
            assert (reader.layers(store), reader.is_same_for_all) == (LAYERS[1:], False), "constant at layer 0"
            for layer in LAYERS:
                expected = readout.norm(store.read(role="last", layer=layer))
                expected = expected if target.of == "state" else readout.logits(expected)
                np.testing.assert_array_equal(reader.read(store, layer), expected)


def test_targets_have_labels_of_their_own():
    labels = {target.label for target in (*TARGETS.values(), AnswerEmbedding(temperature=4.0))}
    assert len(labels) == 6
    assert TARGETS["final-norm"] == FinalNorm()
    with pytest.raises(ValueError, match=r'LogitLens\(of=...\) needs "state" or "answers", got \'logits\''):
        LogitLens(of="logits")
    for wrong in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="must be positive and finite"):
            AnswerEmbedding(temperature=wrong)


def test_what_a_target_lacks_is_said(baseline, tmp_path):
    with pytest.raises(TypeError, match=r"target.*FinalNorm\(\).*'final-norm'"):
        target_reader("final-norm", baseline)
    bare = make_store(tmp_path / "bare")
    assert target_reader(FinalNorm(), bare).read(bare, NORM).shape == (len(IDS), WIDTH)
    with pytest.raises(StoreError, match=r"readout\.safetensors"):
        target_reader(AnswerLogits(), bare)
    with pytest.raises(StoreError, match=r"role.*'last'.*\('image',\)"):
        target_reader(FinalNorm(), bare).read(make_store(tmp_path / "i", tensors=TENSORS[:1]), NORM)
    with pytest.raises(StoreError, match="'norm'"):
        target_reader(FinalNorm(), bare).read(make_store(tmp_path / "l", tensors=TENSORS[:2]), NORM)
    with pytest.raises(StoreError, match=r"at layer 1, which .* lacks"):
        target_reader(LogitLens(), baseline).read(baseline, 1)
    with pytest.raises(ValueError, match=r"\(0, 2\)"):
        target_reader(LogitLens(), baseline).read(baseline, NORM)
    with pytest.raises(ValueError, match="'norm'"):
        target_reader(AnswerLogits(), baseline).read(baseline, 2)


def test_states_of_another_width_are_refused(baseline, tmp_path):
    narrow = stores.fill(tmp_path / "narrow")
    with pytest.raises(StoreError, match="states of width 3, and the readout of the baseline is for 5"):
        target_reader(AnswerLogits(), baseline).read(narrow, NORM)
    with pytest.raises(ValueError, match=r"\(n, 5\).*\(10, 3\)"):
        make_readout().norm(narrow.read(role="last", layer=NORM))


@pytest.mark.parametrize("tokens", [(), (4,)])
def test_answers_need_two_candidates(tmp_path, tokens):
    store = make_store(tmp_path, readout=make_readout(tokens))
    for target in (AnswerLogits(), AnswerEmbedding(), LogitLens(of="answers")):
        with pytest.raises(StoreError, match=f"at least 2 candidate answers, and .* has {len(tokens)}"):
            target_reader(target, store)
    assert target_reader(LogitLens(), store).read(store, 0).shape == (len(IDS), WIDTH)


def test_merge_of_equal_manifests_copies_the_readout(baseline, tmp_path):
    part = make_store(tmp_path / "part")
    merged = merge_stores([part.path, baseline.path], tmp_path / "out")
    assert (merged.path / READOUT).read_bytes() == (baseline.path / READOUT).read_bytes()
    assert merged.verify() == []
    assert not (merge_stores([part.path], tmp_path / "bare").path / READOUT).exists()
