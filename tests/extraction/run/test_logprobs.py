"""Log-probabilities of answers' first tokens are exactly those of a plain forward pass."""

import dataclasses

import numpy as np
import pytest
import torch

from extraction.model.answer_tokens import first_token, gold_tokens
from extraction.model.prompts import render_prompt, resolve_template
from extraction.passes.batch import make_batch
from extraction.passes.capture import StatesPlan
from extraction.passes.edges import Knockout
from extraction.passes.forward import ForwardPlan, read_logprobs, run_batch
from extraction.passes.knockout import cutting
from extraction.run.jobs import extract_baseline, extract_knockouts
from extraction.run.settings import package_versions
from pid_jax.store import ActivationStore
from pid_jax.store.shard import read_tensor, shard_name
from tests.extraction.conftest import encoder_of
from tests.extraction.random_models import LAYERS

CUT = Knockout(edges=(("image", "question"), ("question", "last")), first=0, last=LAYERS - 1, is_all=True)
HEADS = Knockout(edges=(("question", "last"),), heads=((1, 0), (3, None)))
PLAN = ForwardPlan(states=StatesPlan(roles=("last",), layers=(0,)), max_new_tokens=2)


@torch.inference_mode()
def _plain(vlm, prepared, knockout):
    """Log-probabilities of all tokens after the prompts, (batch, vocabulary)."""
    batch = make_batch(vlm, prepared)
    with cutting(vlm, knockout, batch.groups):
        logits = vlm.model(**batch.inputs, use_cache=False, logits_to_keep=1).logits[:, -1]
    return torch.log_softmax(logits.to(torch.float32), dim=-1).numpy()


@pytest.mark.parametrize("knockout", [None, CUT, HEADS], ids=["baseline", "cut", "heads"])
def test_they_are_those_of_a_plain_forward(vlm, encoder, twins, knockout):
    golds = ["red", "blue", "circle", "left", "red", None]
    samples = [dataclasses.replace(sample, answer=gold) for sample, gold in zip(twins, golds, strict=True)]
    prepared = [encoder.prepare(sample) for sample in samples]
    found = run_batch(vlm, prepared, PLAN, [knockout])[0].logprobs
    right, plain = _plain(vlm, prepared, knockout), _plain(vlm, prepared, None)
    rows = np.arange(len(prepared))
    np.testing.assert_allclose(found["first_logprob"], right.max(axis=1), atol=2e-5)
    wanted = [np.logaddexp.reduce(right[i, list(one.gold_tokens)]) for i, one in enumerate(prepared[:-1])]
    np.testing.assert_allclose(found["gold_logprob"][:-1], wanted, atol=2e-5)
    assert np.isnan(found["gold_logprob"][-1])
    assert ("baseline_logprob" in found) == (knockout is not None)
    if knockout is not None:
        np.testing.assert_allclose(found["baseline_logprob"], right[rows, plain.argmax(axis=1)], atol=2e-5)
        assert np.abs(found["first_logprob"] - plain.max(axis=1)).max() > 1e-4


def test_alone_they_are_equal_bit_by_bit():
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 50)).astype(np.float32) * 9)
    found = read_logprobs(logits, [(4,), (), (7, 9)])
    right = torch.log_softmax(logits, dim=-1)
    assert np.array_equal(found["first_logprob"], right.max(dim=-1).values.numpy())
    assert found["gold_logprob"][0] == right[0, 4].item()
    assert np.isnan(found["gold_logprob"][1])
    assert found["gold_logprob"][2] == pytest.approx(np.logaddexp(right[2, 7].item(), right[2, 9].item()), abs=1e-6)
    half = read_logprobs(logits.to(torch.bfloat16), [(4,)] * 3)["gold_logprob"]
    assert np.array_equal(half, torch.log_softmax(logits.to(torch.bfloat16).float(), dim=-1)[:, 4].numpy())


def test_the_first_token_is_that_of_the_answer(llava, samples):
    encoder = encoder_of(llava)
    prepared = [encoder.prepare(sample) for sample in samples]
    right = _plain(llava, prepared, None)
    tokens = llava.processor.tokenizer.batch_decode(right.argmax(axis=1)[:, None], skip_special_tokens=True)
    result = run_batch(llava, prepared, PLAN)[0]
    assert all(text.startswith(token.strip()) for text, token in zip(result.answers, tokens, strict=True))


def test_tokens_that_begin_a_gold_answer(llava):
    tokenizer, template = llava.processor.tokenizer, resolve_template("plain", llava.processor, llava.family)
    prompt = render_prompt(template, "what is this ?", llava.family).text
    red = first_token(tokenizer, prompt, " ", "red")
    assert red is not None
    assert gold_tokens(tokenizer, prompt, "red") == (red,)  # this tokenizer does not know "Red"
    assert gold_tokens(tokenizer, prompt, " Red ") == (red,)
    assert gold_tokens(tokenizer, prompt, "zebra") == ()
    assert gold_tokens(tokenizer, prompt, "") == gold_tokens(tokenizer, prompt, None) == ()


def test_a_gold_answer_may_begin_in_two_ways():
    class Words:
        """One token a word, none unknown."""

        unk_token_id = -1

        def __call__(self, text, **options):
            return {"input_ids": [sum(ord(c) << i for i, c in enumerate(word)) for word in text.split()]}

    words = Words()
    both = sorted(words(one)["input_ids"][0] for one in ("yes", "Yes"))
    assert gold_tokens(words, "USER: is it ? ASSISTANT:", "yes") == tuple(both)
    assert gold_tokens(words, "USER: is it ? ASSISTANT:", "Yes") == tuple(both)
    assert len(gold_tokens(words, "USER: how many ?\n", "3")) == 1


def test_every_store_has_them(llava, samples, settings, tmp_path):
    prepared = [encoder_of(llava).prepare(sample) for sample in samples]
    baseline = extract_baseline(llava, samples, settings, tmp_path / "baseline")
    (cut,) = extract_knockouts(llava, samples, baseline, [CUT], tmp_path).values()
    for store, knockout in ((baseline, None), (cut, CUT)):
        right = _plain(llava, prepared, knockout)
        np.testing.assert_allclose(store.columns["first_logprob"], right.max(axis=1), atol=2e-5)
        gold = [right[i, list(one.gold_tokens)].item() for i, one in enumerate(prepared)]
        np.testing.assert_allclose(store.columns["gold_logprob"], gold, atol=2e-5)
        assert store.verify() == []
    assert "baseline_logprob" not in baseline.columns
    assert (cut.columns["baseline_logprob"] <= cut.columns["first_logprob"]).all()


def test_a_store_of_an_earlier_release_is_resumed_without_them(llava, samples, settings, tmp_path):
    many = [dataclasses.replace(samples[i % 3], id=f"{i:03d}") for i in range(7)]
    whole = extract_baseline(llava, many, settings, tmp_path / "s")
    header = whole.header(0)
    old = [{k: v for k, v in row.items() if not k.endswith("logprob")} for row in header.columns]
    tensors = {name: read_tensor(whole.folder, shard_name(0), header, name).copy() for name in whole.manifest.tensors}
    for index in (0, 1):
        whole.shard_path(index).unlink()
    store = ActivationStore.open(tmp_path / "s")
    store.write_shard(0, list(header.ids), old, tensors, (), package_versions())
    again = extract_baseline(llava, many, settings, tmp_path / "s")
    assert len(again.ids) == 7
    assert "first_logprob" not in again.columns
