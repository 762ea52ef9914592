"""Pooled states equal `output_hidden_states`, and generation adds nothing to them."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from extraction.passes.batch import make_batch
from extraction.passes.capture import Recorder, StatesPlan, watching
from extraction.passes.forward import ForwardPlan, run_batch
from extraction.passes.prompt_pass import pass_prompts
from pid_jax.store.manifest import GROUPS
from tests.extraction.conftest import implementations
from tests.extraction.random_models import LAYERS

PLAN = StatesPlan(roles=GROUPS, layers=tuple(range(LAYERS + 1)))
TOLERANCE = 2e-6


def _pooled(hidden, groups):
    means = [
        torch.stack([row[mask].mean(dim=0) for row, mask in zip(hidden, groups.mask(role), strict=True)])
        for role in PLAN.roles
    ]
    return torch.stack(means, dim=1)


@contextmanager
def _attention(vlm, implementation):
    previous, vlm.text_config._attn_implementation = vlm.text_config._attn_implementation, implementation
    try:
        yield
    finally:
        vlm.text_config._attn_implementation = previous


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@torch.inference_mode()
def test_states_equal_output_hidden_states(vlm, batch, implementation):
    if implementation not in implementations(vlm):
        pytest.skip(f"{implementation} cannot cap the logits of attention")
    assert not batch.groups.is_token.all(), "one prompt must be padded"
    with _attention(vlm, implementation):
        states = pass_prompts(vlm, batch, PLAN).recorder.states
        output = vlm.model(**batch.inputs, use_cache=False, logits_to_keep=1, output_hidden_states=True)
    expected = output.hidden_states
    assert len(expected) == LAYERS + 1
    for layer in range(LAYERS):
        torch.testing.assert_close(states[:, layer], _pooled(expected[layer], batch.groups), atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(states[:, -1], _pooled(expected[-1], batch.groups), atol=TOLERANCE, rtol=0)


@torch.inference_mode()
def test_last_block_is_recorded_before_the_norm(vlm, batch):
    states = pass_prompts(vlm, batch, PLAN).recorder.states
    raw, normed = states[:, -2], states[:, -1]
    assert (raw - normed).abs().max() > 0.01
    last = PLAN.roles.index("last")
    torch.testing.assert_close(vlm.norm(raw[:, last]), normed[:, last], atol=TOLERANCE, rtol=0)


def test_generation_leaves_the_states_of_the_prompt(vlm, prepared):
    plans = [ForwardPlan(states=PLAN, max_new_tokens=n) for n in (1, 4)]
    short, long = (run_batch(vlm, prepared, plan)[0] for plan in plans)
    assert short.states.dtype == np.float32
    np.testing.assert_array_equal(short.states, long.states)
    assert all(text.startswith(start) for text, start in zip(long.answers, short.answers, strict=True))


def test_answers_are_those_of_generate(vlm, prepared):
    """Padded prompts, several tokens, every family."""
    batch = make_batch(vlm, prepared)
    inputs = {name: value for name, value in batch.inputs.items() if name != "position_ids"}
    tokens = vlm.model.generate(**inputs, max_new_tokens=6, do_sample=False, num_beams=1)[:, batch.length :]
    expected = vlm.processor.tokenizer.batch_decode(tokens, skip_special_tokens=True)
    found = run_batch(vlm, prepared, ForwardPlan(states=PLAN, max_new_tokens=6))[0].answers
    assert found == [text.strip() for text in expected]
    assert len(set(found)) == 2


def test_only_the_layers_and_roles_asked_for(vlm, prepared):
    whole = run_batch(vlm, prepared, ForwardPlan(states=PLAN, max_new_tokens=1))[0].states
    some = StatesPlan(roles=("last", "image"), layers=(0, 3))
    part = run_batch(vlm, prepared, ForwardPlan(states=some, max_new_tokens=1))[0].states
    roles = [PLAN.roles.index(role) for role in some.roles]
    np.testing.assert_allclose(part, whole[:, [0, 3, LAYERS + 1]][:, :, roles], atol=TOLERANCE, rtol=0)


def _hooks(vlm):
    modules = [vlm.decoder, vlm.norm, *vlm.layers]
    return [(set(module._forward_hooks), set(module._forward_pre_hooks)) for module in modules]


def test_hooks_are_gone_after_an_error(vlm, batch):
    before, recorder = _hooks(vlm), Recorder(vlm, batch.groups, PLAN, has_prefix=True)
    with watching(vlm, recorder, {}):
        assert _hooks(vlm) != before
    assert _hooks(vlm) == before
    with pytest.raises((ValueError, TypeError)), watching(vlm, recorder, {}):  # which one depends on the family
        vlm.model(no_such_input=0)
    assert _hooks(vlm) == before


def test_nothing_is_recorded_as_zero(vlm, batch):
    """States of a layer that did not run stay NaN, which the store refuses."""
    recorder = Recorder(vlm, batch.groups, PLAN, has_prefix=True)
    assert recorder.states.isnan().all()
