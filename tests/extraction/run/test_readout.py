"""The readout beside a baseline says what the model's own norm and head do, and how the model begins its answers."""

import copy
import dataclasses
import shutil
from collections import Counter

import numpy as np
import pytest
import torch
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm

from extraction.cli.main import main
from extraction.datasets.load import DataSettings, select
from extraction.model.answer_tokens import first_token
from extraction.model.load import load_model
from extraction.model.prompts import TEMPLATES, resolve_template
from extraction.passes.batch import make_batch
from extraction.passes.edges import Knockout
from extraction.passes.encode import Encoder
from extraction.run.fill import RunOptions, Target, fill, plan_store
from extraction.run.jobs import answers_path, extract_baseline, extract_knockouts, keep_correct
from extraction.run.readout import count_misses, find_norm
from extraction.run.settings import ModelSettings, RunSettings
from extraction.scenes.folder import scene_samples, write_gqa_folder
from extraction.scenes.questions import ASK
from extraction.scenes.scene import image_ids
from pid_jax.store import NORM, ActivationStore
from pid_jax.store.readout import READOUT, read_readout
from pid_jax.store.targets import AnswerEmbedding, AnswerLogits, LogitLens, target_reader
from tests.extraction.random_models import LAYERS, random_llava

GOLDS = ("red", "blue.", "circle", "what", "nonsense", "")


@pytest.fixture(scope="module")
def answered(twins):
    """Six samples with different gold answers; one that the tokenizer does not know, and none."""
    return [dataclasses.replace(sample, answer=gold or None) for sample, gold in zip(twins, GOLDS, strict=True)]


def settings_of(vlm, **changes) -> RunSettings:
    fields = {
        "model": ModelSettings(name="random"),
        "data": DataSettings(reader="python"),
        "template": resolve_template("plain", vlm.processor, vlm.family),
        "batch_size": 2,
        "shard_size": 4,
        "max_new_tokens": 2,
    }
    return RunSettings(**fields | changes)


def extract(vlm, samples, path, **changes) -> ActivationStore:
    return extract_baseline(vlm, samples, settings_of(vlm, **changes), path)


def close(found, expected, tolerance) -> bool:
    return np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


def with_part(vlm, name, part):
    """A copy of a model with another norm or lm_head."""
    model = copy.deepcopy(vlm.model)
    made = dataclasses.replace(vlm, model=model, decoder=model.model.language_model)
    setattr({"norm": made.decoder, "lm_head": model}[name], name, part)
    return made


@torch.inference_mode()
def test_readout_of_every_family_gives_the_model_s_logits(vlm, answered, tmp_path):
    said: list[str] = []
    store = extract_baseline(vlm, answered, settings_of(vlm), tmp_path / "s", RunOptions(say=said.append))
    if vlm.family.caps_logits and vlm.text_config.to_dict().get("final_logit_softcapping"):
        assert "logits are capped" in said[-1]
        return
    readout = read_readout(store.folder, store.manifest.digest)
    assert sorted(one.text for one in readout.candidates) == ["blue", "circle", "red", "what"]
    assert {one.answers for one in readout.candidates} == {("blue",), ("circle",), ("red",), ("what",)}
    tokens = [candidate.token for candidate in readout.candidates]

    found = target_reader(AnswerLogits(), store).read(store, NORM)
    encoder = Encoder.of(vlm, store.manifest.settings["template"])
    for sample, row in zip(answered, found, strict=True):
        logits = vlm.model(**make_batch(vlm, [encoder.prepare(sample)]).inputs).logits[0, -1, tokens].numpy()
        assert close(row, logits - logits.mean(), 1e-4)
    weights = torch.softmax(torch.from_numpy(found), dim=-1)
    expected = (weights @ vlm.head.weight[tokens]).numpy()
    assert close(target_reader(AnswerEmbedding(), store).read(store, NORM), expected, 1e-5)

    lens = target_reader(LogitLens(), store)
    assert close(lens.read(store, LAYERS), store.read(role="last", layer=NORM), 2e-6)
    states = torch.from_numpy(store.read(role="last", layer=2))
    assert close(lens.read(store, 2), vlm.norm(states).numpy(), 2e-6)
    assert close(
        target_reader(LogitLens(of="answers"), store).read(store, 2),
        (vlm.head(vlm.norm(states))[:, tokens] - vlm.head(vlm.norm(states))[:, tokens].mean(1, keepdim=True)).numpy(),
        1e-5,
    )


def test_bfloat16(answered, tmp_path):
    vlm = random_llava()
    vlm.model.to(torch.bfloat16)
    store = extract(vlm, answered, tmp_path / "s")
    lens = target_reader(LogitLens(), store)
    last = store.read(role="last", layer=NORM)
    assert close(lens.read(store, LAYERS), last, 2**-7)
    assert not close(lens.read(store, LAYERS - 1), last, 2**-7)


@pytest.mark.parametrize("name", ["rms", "layer", "layer without bias", "gemma"])
def test_norms_are_known_by_what_they_do(name):
    vlm = random_llava()
    norm = {
        "rms": vlm.norm,
        "layer": torch.nn.LayerNorm(vlm.width, eps=1e-3),
        "layer without bias": torch.nn.LayerNorm(vlm.width, bias=False),
        "gemma": GemmaRMSNorm(vlm.width),
    }[name]
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    found = find_norm(with_part(vlm, "norm", norm))
    assert found.is_centered == name.startswith("layer")
    offset = 1 if name == "gemma" else 0
    np.testing.assert_array_equal(found.weight, norm.weight.detach().numpy() + np.float32(offset))
    assert found.bias.any() == (name == "layer")
    states = 0.01 * torch.randn(5, vlm.width) + 0.1
    with torch.inference_mode():
        assert close(found.norm(states.numpy()), norm(states).numpy(), 1e-5)


def test_a_norm_of_large_weights_in_half_precision():
    """Weights w and 1 + w differ by little more than the roundings of bfloat16."""
    vlm = random_llava()
    norm = GemmaRMSNorm(vlm.width)
    norm.weight.data = torch.full_like(norm.weight, 40.0)
    found = find_norm(with_part(vlm, "norm", norm.to(torch.bfloat16)))
    np.testing.assert_array_equal(found.weight, 41.0)


class Odd(torch.nn.LayerNorm):
    """Nearly a norm."""

    def forward(self, x):
        return super().forward(x) * 1.001


class Capped(torch.nn.Linear):
    """Nearly a head."""

    def forward(self, x):
        return 5 * torch.tanh(super().forward(x) / 5)


@pytest.mark.parametrize(
    ("name", "part", "reason"),
    [
        ("norm", Odd, "the final norm Odd is neither an RMSNorm nor a LayerNorm: on random states it differs"),
        (
            "norm",
            lambda width: torch.nn.Identity(),
            "the final norm Identity has no weight for each feature, or no eps",
        ),
        ("lm_head", lambda width: Capped(width, 56, bias=False), "the output embedding Capped is not linear"),
    ],
)
def test_what_cannot_be_written_down_is_said(answered, tmp_path, name, part, reason):
    llava = random_llava()
    lines: list[str] = []
    vlm = with_part(llava, name, part(llava.width))
    store = extract_baseline(vlm, answered, settings_of(vlm), tmp_path / "s", RunOptions(say=lines.append))
    assert store.verify() == []
    assert not (store.path / READOUT).exists()
    (line,) = lines
    assert f"gets no readout, so FinalNorm() is the only target for it: {reason}" in line


def test_bias_of_a_head(answered, tmp_path):
    llava = random_llava()
    vlm = with_part(llava, "lm_head", torch.nn.Linear(llava.width, len(llava.processor.tokenizer)))
    store = extract(vlm, answered, tmp_path / "s")
    readout = read_readout(store.folder, store.manifest.digest)
    tokens = [candidate.token for candidate in readout.candidates]
    np.testing.assert_array_equal(readout.head_bias, vlm.head.bias[tokens].detach().numpy())


def test_killed_before_the_readout(answered, tmp_path):
    """Also a store of an earlier version: the shards stay, and the readout equals that of an undisturbed run."""
    vlm = random_llava()
    whole = extract(vlm, answered, tmp_path / "whole")
    settings = settings_of(vlm)
    part = ActivationStore.create(tmp_path / "part", plan_store(vlm, answered, settings))
    fill(vlm, answered, settings, [Target(store=part)])
    assert part.is_complete
    assert not (part.path / READOUT).exists()
    before = {path.name: path.stat().st_mtime_ns for path in part.path.glob("shard-*")}
    extract(vlm, answered, part.path)
    assert {path.name: path.stat().st_mtime_ns for path in part.path.glob("shard-*")} == before
    assert (part.path / READOUT).read_bytes() == (whole.path / READOUT).read_bytes()
    written = (part.path / READOUT).stat().st_mtime_ns
    extract(vlm, answered, part.path)
    assert (part.path / READOUT).stat().st_mtime_ns == written, "what is there is not written again"


def test_only_a_baseline_with_last_states_has_one(answered, tmp_path):
    vlm = random_llava()
    assert READOUT not in extract(vlm, answered, tmp_path / "i", roles=("image",)).folder.names()
    baseline = extract(vlm, answered, tmp_path / "b")
    cut = Knockout(edges=(("image", "question"),), first=1, last=2)
    knockout = extract_knockouts(vlm, answered, baseline, [cut], tmp_path)[cut.name]
    assert READOUT not in knockout.folder.names()
    reader = target_reader(AnswerLogits(), baseline)
    assert not np.array_equal(reader.read(knockout, NORM), reader.read(baseline, NORM))

    said = dict(zip(baseline.ids, baseline.columns["predicted"], strict=True))
    right = [dataclasses.replace(sample, answer=str(said[sample.id]) or "red") for sample in answered]
    settings = settings_of(vlm, keep="correct")
    kept = keep_correct(vlm, right, settings, tmp_path / "k")
    assert READOUT not in ActivationStore.open(answers_path(tmp_path / "k")).folder.names()
    assert READOUT in extract_baseline(vlm, kept, settings, tmp_path / "k").folder.names()


def test_damage_is_found_and_mended(answered, tmp_path):
    vlm = random_llava()
    store = extract(vlm, answered, tmp_path / "s")
    content = (store.path / READOUT).read_bytes()
    (store.path / READOUT).write_bytes(content[:-1] + b"!")
    (problem,) = store.verify()
    assert "delete this file and run the same extraction again" in problem
    (store.path / READOUT).unlink()
    assert extract(vlm, answered, store.path).verify() == []
    assert (store.path / READOUT).read_bytes() == content


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """A run of tiny-gqa-8 on few held-out questions."""
    folder = tmp_path_factory.mktemp("scenes")
    write_gqa_folder(folder / "gqa", images=40, seed=1)
    samples = [sample for i in image_ids("val", 40) for sample in scene_samples(folder / "gqa", i, 1)]
    chosen = select(samples, DataSettings(reader="gqa", path=folder, tasks=tuple(ASK), per_task=20))
    vlm = load_model("tiny-gqa-8")
    return vlm, chosen, extract(vlm, chosen, folder / "s", template=TEMPLATES["plain"], batch_size=64, shard_size=128)


def test_likeliest_candidate_begins_the_answer(scenes):
    _, samples, store = scenes
    readout = read_readout(store.folder, store.manifest.digest)
    token_of = {answer: one.token for one in readout.candidates for answer in one.answers}
    assert set(token_of) == {sample.answer for sample in samples}
    tokens = [token_of.get(str(answer)) for answer in store.columns["predicted"]]
    states = store.read(role="last", layer=NORM)
    misses, count = count_misses(readout, states, tokens)
    assert count >= 100
    assert misses <= 0.01 * count
    misses, count = count_misses(readout, states, [*tokens[1:], None])
    assert misses > 0.5 * count, "agreement is no matter of course"


def test_wrong_tokens_are_noticed(scenes, tmp_path, monkeypatch):
    """Answers that do not begin with their tokens: the readout is refused, since candidates would mean nothing."""
    vlm, samples, store = scenes
    common = [answer for answer, _ in Counter(store.columns["predicted"].tolist()).most_common(2)]
    swap = dict(zip(common, common[::-1], strict=True))

    def swapped(tokenizer, prompt, gap, answer):
        return first_token(tokenizer, prompt, gap, swap.get(answer, answer))

    monkeypatch.setattr("extraction.run.readout.first_token", swapped)
    lines: list[str] = []
    copy_ = shutil.copytree(store.path, tmp_path / "s")
    (copy_ / READOUT).unlink()
    settings = settings_of(vlm, template=TEMPLATES["plain"], batch_size=64, shard_size=128)
    extract_baseline(vlm, samples, settings, copy_, RunOptions(say=lines.append))
    assert not (copy_ / READOUT).exists()
    assert "not known with which tokens the model begins its answers" in lines[0]


def test_command_adds_what_is_missing(command_line, tmp_path):
    pid_extract = command_line("pid-extract", main)
    write_gqa_folder(tmp_path / "gqa", images=3, seed=1)
    line = ("run", "--gqa", tmp_path / "gqa", "--model", "tiny-gqa-8", "--out", tmp_path / "s", "--max-new-tokens", 2)
    assert pid_extract(*line)[0] == 0
    content = (tmp_path / "s" / READOUT).read_bytes()
    (tmp_path / "s" / READOUT).unlink()
    assert pid_extract(*line)[0] == 0
    assert (tmp_path / "s" / READOUT).read_bytes() == content
    assert pid_extract("verify", tmp_path / "s")[0] == 0
