"""Proof, on the real model and real samples, that pooled states are those of a plain call of transformers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from extraction.model.load import VisionLanguageModel
from extraction.passes.batch import to_model
from extraction.passes.capture import StatesPlan
from extraction.passes.encode import Prepared
from extraction.passes.forward import ForwardPlan, run_batch
from extraction.proof.knockout import tolerance_of
from pid_jax.store import NORM
from pid_jax.store.manifest import GROUPS

_SAMPLES = 2
# One sample alone runs through the same kernels in both calls, so what remains is the order in which means are summed.
_SAME = {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 8e-3}


class ParityError(RuntimeError):
    """The states that would be stored are not those of the model; nothing was extracted."""


@dataclass(frozen=True, kw_only=True)
class ParityProof:
    """What was compared: every role and layer of real samples, with `output_hidden_states` of each sample alone.

    Attributes:
        samples: Ids of the samples.
        states: Number of states compared: samples, roles, and layers with the final norm.
        alone: Largest difference of a state, relative to its largest value, where each sample runs alone.
        together: The same where the samples are one batch, padded if their lengths differ.
        tolerance_alone: What `alone` may be at most, by the precision of the model.
        tolerance_together: What `together` may be at most: kernels differ with the shape of a batch.
        dtype: Precision of the model.
        attention: Implementation of attention.
        devices: Devices of the model's weights, with the names of accelerators.
    """

    samples: tuple[str, ...]
    states: int
    alone: float
    together: float
    tolerance_alone: float
    tolerance_together: float
    dtype: str
    attention: str
    devices: tuple[str, ...]


def prove_parity(
    vlm: VisionLanguageModel,
    candidates: Sequence[Prepared],
    roles: Sequence[str] = ("image", "question", "last"),
    layers: Sequence[int] | None = None,
) -> ParityProof | None:
    """Compare what an extraction records with a plain call of the model, in its attention, precision and devices.

    The plain call has no hooks, no padding, no cache, and no positions but the model's own. Its last entry is the final
    norm's output; the raw output of the last block is compared by applying the norm to it at the last position.

    Args:
        vlm: The model.
        candidates: Real samples, of which the first two with finite states are compared.
        roles: Token groups that are recorded.
        layers: Layers that are recorded; all if not given.

    Returns:
        What was measured; None where no sample has finite states, which makes failures of the samples and no proof.

    Raises:
        ParityError: If a state differs by more than rounding.
    """
    layers = range(len(vlm.layers) + 1) if layers is None else layers
    plan = StatesPlan(roles=tuple(roles), layers=tuple(layers))
    chosen, expected = _run_plain(vlm, candidates, plan)
    if not chosen:
        return None
    forward = ForwardPlan(states=plan, max_new_tokens=1)
    alone = np.concatenate([run_batch(vlm, [one], forward)[0].states for one in chosen])
    together = run_batch(vlm, chosen, forward)[0].states
    same, near = _SAME.get(vlm.model.dtype, _SAME[torch.bfloat16]), tolerance_of(vlm)
    return ParityProof(
        samples=tuple(one.sample.id for one in chosen),
        states=len(chosen) * len(plan.roles) * len(plan.slots),
        alone=_compare(vlm, plan, chosen, expected, alone, same, "alone"),
        together=_compare(vlm, plan, chosen, expected, together, near, "in one batch"),
        tolerance_alone=same,
        tolerance_together=near,
        dtype=str(vlm.model.dtype).removeprefix("torch."),
        attention=str(vlm.text_config._attn_implementation),
        devices=_name_devices(vlm),
    )


def _run_plain(
    vlm: VisionLanguageModel, candidates: Sequence[Prepared], plan: StatesPlan
) -> tuple[list[Prepared], np.ndarray]:
    """Run candidates until there are enough with finite states; return these, and their states."""
    chosen: list[Prepared] = []
    states: list[np.ndarray] = []
    for candidate in candidates:
        plain = _plain_states(vlm, candidate, plan)
        if np.isfinite(plain).all():
            chosen.append(candidate)
            states.append(plain)
        if len(chosen) == _SAMPLES:
            break
    return chosen, np.stack(states) if states else np.empty(0)


@torch.inference_mode()
def _plain_states(vlm: VisionLanguageModel, prepared: Prepared, plan: StatesPlan) -> np.ndarray:
    """Pool `output_hidden_states` of one sample, (slots, roles, width); the last block's entry is that of the norm."""
    tokens = {"input_ids": prepared.input_ids, "attention_mask": np.ones_like(prepared.input_ids)}
    inputs = {name: torch.from_numpy(value)[None] for name, value in (tokens | prepared.token_inputs).items()}
    inputs |= {name: torch.from_numpy(value) for name, value in prepared.image_inputs.items()}
    output = vlm.model(
        **{name: to_model(vlm, value) for name, value in inputs.items()},
        use_cache=False,
        logits_to_keep=1,
        output_hidden_states=True,
    )
    hidden, count = output.hidden_states, len(vlm.layers)
    if len(hidden) != count + 1:
        raise ParityError(
            f"{type(vlm.model).__name__} returns {len(hidden)} hidden states, wanted {count + 1} for a decoder of "
            f"{count} blocks: the family's entry names another decoder than the one that runs."
        )
    pooled = []
    for slot in plan.slots:
        states = hidden[count if slot == NORM else slot][0]
        masks = [torch.from_numpy(prepared.codes == GROUPS.index(role)).to(states.device) for role in plan.roles]
        pooled.append(torch.stack([states[mask].float().mean(dim=0) for mask in masks]).cpu())
    return torch.stack(pooled).numpy()


def _compare(
    vlm: VisionLanguageModel,
    plan: StatesPlan,
    prepared: Sequence[Prepared],
    expected: np.ndarray,
    found: np.ndarray,
    limit: float,
    how: str,
) -> float:
    """Return the largest relative difference of a state (samples, slots, roles, width).

    Raises:
        ParityError: If it exceeds the limit, or is NaN.
    """
    expected, found = expected.copy(), found.copy()
    for slot, layer in enumerate(plan.slots):
        if layer == len(vlm.layers):
            _use_norm(vlm, plan, slot, expected, found)
    largest = np.abs(expected).max(axis=-1).clip(min=np.finfo(np.float32).tiny)
    errors = np.abs(found - expected).max(axis=-1) / largest
    worst = np.nan_to_num(errors, nan=np.inf).argmax()
    if not errors.flat[worst] <= limit:
        sample, slot, role = np.unravel_index(worst, errors.shape)
        raise ParityError(
            f"States of {type(vlm.model).__name__} are not those of output_hidden_states: sample "
            f"{prepared[sample].sample.id!r}, run {how}, role {plan.roles[role]!r}, layer {plan.slots[slot]!r} differs "
            f"by {errors.flat[worst]:.1e} of its largest value, and rounding explains at most {limit:.0e}. Nothing was "
            "extracted; try attn_implementation='eager' (--attn-implementation eager), or another version of "
            "transformers, and correct the entry of a family of your own."
        )
    return float(errors.flat[worst])


@torch.inference_mode()
def _use_norm(vlm: VisionLanguageModel, plan: StatesPlan, slot: int, expected: np.ndarray, found: np.ndarray) -> None:
    """Apply the final norm to the last block's raw output at the last position; leave out the means of other roles."""
    like = next(vlm.norm.parameters(), vlm.model.get_input_embeddings().weight)
    for r, role in enumerate(plan.roles):
        if role == "last":
            raw = torch.from_numpy(found[:, slot, r]).to(like.device, like.dtype)
            found[:, slot, r] = vlm.norm(raw).float().cpu().numpy()
        else:
            found[:, slot, r] = expected[:, slot, r]


def _name_devices(vlm: VisionLanguageModel) -> tuple[str, ...]:
    devices = {parameter.device for parameter in vlm.model.parameters()}
    return tuple(sorted(_name_device(device) for device in devices))


def _name_device(device: torch.device) -> str:
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
