"""Pooled states equal `output_hidden_states`, and generation adds nothing to them."""

import numpy as np
import pytest
import torch

from extraction.capture import recording
from extraction.forward import run_batch

ROLES = ("image", "question", "last")
TOLERANCE = 1e-6


def _pooled(hidden, groups):
    means = [
        torch.stack([row[mask].mean(dim=0) for row, mask in zip(hidden, getattr(groups, role), strict=True)])
        for role in ROLES
    ]
    return torch.stack(means, dim=1)


@torch.inference_mode()
def test_states_equal_output_hidden_states(vlm, batch):
    with recording(vlm, batch.groups, ROLES) as recorder:
        output = vlm.model(**batch.inputs, use_cache=False, logits_to_keep=1, output_hidden_states=True)
    expected = output.hidden_states
    assert len(expected) == len(vlm.layers) + 1
    for layer in range(len(vlm.layers)):
        torch.testing.assert_close(
            recorder.states[:, layer], _pooled(expected[layer], batch.groups), atol=TOLERANCE, rtol=0
        )
    torch.testing.assert_close(recorder.states[:, -1], _pooled(expected[-1], batch.groups), atol=TOLERANCE, rtol=0)


@torch.inference_mode()
def test_last_block_is_recorded_before_the_norm(vlm, batch):
    with recording(vlm, batch.groups, ROLES) as recorder:
        vlm.model(**batch.inputs, use_cache=False, logits_to_keep=1)
    raw, normed = recorder.states[:, -2], recorder.states[:, -1]
    assert (raw - normed).abs().max() > 0.01
    last = ROLES.index("last")
    torch.testing.assert_close(vlm.norm(raw[:, last]), normed[:, last], atol=TOLERANCE, rtol=0)


def test_generation_leaves_the_states_of_the_prompt(vlm, batch):
    with torch.inference_mode(), recording(vlm, batch.groups, ROLES) as recorder:
        logits = vlm.model(**batch.inputs, use_cache=False, logits_to_keep=1).logits
    result = run_batch(vlm, batch, ROLES, None, max_new_tokens=3)
    assert result.states.dtype == np.float32
    # `generate` counts positions from the first token, a plain pass from the padding: rotations differ by rounding.
    np.testing.assert_allclose(result.states, recorder.states.numpy(), atol=1e-5)
    assert len(result.answers) == len(logits)


def _hooks(vlm):
    modules = [vlm.norm, *vlm.layers]
    return [(set(module._forward_hooks), set(module._forward_pre_hooks)) for module in modules]


def test_hooks_are_gone_after_an_error(vlm, batch):
    before = _hooks(vlm)
    with recording(vlm, batch.groups, ROLES):
        assert _hooks(vlm) != before
    assert _hooks(vlm) == before
    with pytest.raises(ValueError, match="exactly one of input_ids"), recording(vlm, batch.groups, ROLES):
        vlm.model(no_such_input=0)
    assert _hooks(vlm) == before


def test_nothing_is_recorded_as_zero(vlm, batch):
    """States of a layer that did not run stay NaN, which the store refuses."""
    with recording(vlm, batch.groups, ROLES) as recorder:
        pass
    assert recorder.states.isnan().all()
