"""Write the readout of a model beside the states of a baseline: final norm, and the rows of the candidate answers."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import torch

from extraction.answer_tokens import find_candidates, first_token, gaps
from extraction.models import VisionLanguageModel
from extraction.prompts import render_prompt
from extraction.settings import RunSettings
from pid_jax.store import NORM, ActivationStore
from pid_jax.store_readout import Candidate, Readout
from pid_jax.store_readout_file import has_readout, write_readout

_SCALES = (1e-3, 1e-1, 1.0, 30.0)  # of the states that are tried: eps counts for the small ones
_SEED = 0
_ROUNDINGS = 4.0  # roundings to the model's precision in which a norm or a product may differ
_SINGLE = 1e-5  # and what sums in another order may add in float32
_QUESTION = "Which?"  # any: what counts is how a prompt ends
_ROWS = 512  # samples whose answers are looked at
_ENOUGH = 0.9  # half precision has ties, which greedy answers break by the number of the token


class _NoReadoutError(ValueError):
    """The model's readout cannot be written down; the message says why."""


def ensure_readout(
    vlm: VisionLanguageModel, store: ActivationStore, settings: RunSettings, say: Callable[[str], None]
) -> None:
    """Write the readout of a complete store, unless it is there; say why if it cannot be written down.

    Several processes may do so at once: they write equal bytes.
    """
    if "last" not in settings.roles or has_readout(store.folder) or not store.is_complete or not len(store.ids):
        return
    try:
        readout = make_readout(vlm, store, settings.template)
    except _NoReadoutError as error:
        say(f"{store.path} gets no readout, so FinalNorm() is the only target for it: {error}.")
    else:
        write_readout(store.folder, readout, store.manifest.digest)


@torch.inference_mode()
def make_readout(vlm: VisionLanguageModel, store: ActivationStore, template: str) -> Readout:
    """Find norm, candidates and their rows, and check all of them: on random states, and on the answers of the store.

    Args:
        vlm: The model.
        store: A complete store of its states.
        template: Resolved prompt template.
    """
    norm = find_norm(vlm)
    tokenizer, columns = vlm.processor.tokenizer, store.columns
    prompt = render_prompt(template, _QUESTION, vlm.family).text
    rows = np.unique(np.linspace(0, len(store.ids) - 1, _ROWS).astype(int))
    states = store.read(role="last", layer=NORM, rows=rows)
    answers = columns["predicted"][rows]
    agreement: list[float] = []
    for gap in gaps(prompt):
        readout = _with_rows(vlm, norm, find_candidates(columns, tokenizer, prompt, gap))
        tokens = [first_token(tokenizer, prompt, gap, str(answer)) if answer else None for answer in answers]
        agreement.append(agreement_with(readout, states, tokens))
        if agreement[-1] >= _ENOUGH:
            return readout
    raise _NoReadoutError(
        f"the likeliest candidate is the first token of {max(agreement):.0%} of the generated answers that begin with "
        f"one, wanted {_ENOUGH:.0%}: it is not known with which tokens the model begins its answers"
    )


def agreement_with(readout: Readout, states: np.ndarray, tokens: Sequence[int | None]) -> float:
    """Return how often the likeliest candidate begins the generated answer, among answers that begin with a candidate.

    Args:
        readout: The readout.
        states: Final-norm states (n, width).
        tokens: First tokens of the answers.

    Returns:
        The share; 1 if no answer begins with a candidate.
    """
    known = np.array([candidate.token for candidate in readout.candidates])
    begins = np.array([token is not None and token in known for token in tokens])
    if not begins.any():
        return 1.0
    likeliest = known[readout.logits(states[begins]).argmax(axis=1)]
    return float((likeliest == np.array(tokens)[begins]).mean())


@torch.inference_mode()
def find_norm(vlm: VisionLanguageModel) -> Readout:
    """Find out which norm the model has, by what it does to random states; the result has no candidates."""
    weight, bias = (_values("norm", vlm.norm, name) for name in ("weight", "bias"))
    eps = getattr(vlm.norm, "variance_epsilon", getattr(vlm.norm, "eps", None))
    if weight is None or weight.shape != (vlm.width,) or not isinstance(eps, float):
        raise _NoReadoutError(f"the final norm {type(vlm.norm).__name__} has no weight for each feature, or no eps")
    states = torch.from_numpy(_random_states(vlm.width)).to(vlm.norm.weight)
    expected = _array(vlm.norm(states))
    errors: list[float] = []
    for is_centered, offset in product((False, True), (0.0, 1.0)):
        found = Readout(
            is_centered=is_centered,
            eps=eps,
            weight=weight + np.float32(offset),
            bias=np.zeros_like(weight) if bias is None else bias,
            candidates=(),
            embedding=np.zeros((0, vlm.width), np.float32),
            head_bias=np.zeros(0, np.float32),
        )
        errors.append(_error(found.norm(_array(states)), expected, expected))
        if errors[-1] <= _tolerance(states.dtype):
            return found
    raise _NoReadoutError(
        f"the final norm {type(vlm.norm).__name__} is neither an RMSNorm nor a LayerNorm: on random states it differs "
        f"from both, by a relative {min(errors):.0e} at least"
    )


def _with_rows(vlm: VisionLanguageModel, norm: Readout, candidates: tuple[Candidate, ...]) -> Readout:
    """Add the candidates' rows of the output embedding, and check the logits that they give."""
    tokens = [candidate.token for candidate in candidates]
    weight, bias = (_values("head", vlm.head, name, tokens) for name in ("weight", "bias"))
    if weight is None or weight.shape != (len(tokens), vlm.width):
        raise _NoReadoutError(f"the output embedding {type(vlm.head).__name__} has no row of numbers for each token")
    head_bias = np.zeros(len(tokens), np.float32) if bias is None else bias
    readout = replace(norm, candidates=candidates, embedding=weight, head_bias=head_bias)
    states = torch.from_numpy(norm.norm(_random_states(vlm.width))).to(vlm.head.weight)
    expected = _array(vlm.head(states)[:, tokens])
    if tokens:
        centered = expected - expected.mean(axis=1, keepdims=True)
        error = _error(readout.logits(_array(states)), centered, expected)
        if error > _tolerance(states.dtype):
            raise _NoReadoutError(
                f"the output embedding {type(vlm.head).__name__} is not linear, or its weights are not its own: on "
                f"random states its logits differ from theirs by a relative {error:.0e}"
            )
    return readout


def _values(what: str, module: Any, name: str, rows: Sequence[int] | None = None) -> np.ndarray | None:
    """Return a parameter as float32, or some of its rows; None if the module has none of numbers."""
    value = getattr(module, name, None)
    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        return None
    if value.is_meta:
        raise _NoReadoutError(f"the weights of its {what} are not in memory: use a device_map that does not offload it")
    return _array(value if rows is None else value[list(rows)])


def _random_states(width: int) -> np.ndarray:
    """Draw states with a mean, so that it counts whether it is subtracted, and of different sizes."""
    generator = np.random.default_rng(_SEED)
    states = [scale * (1 + generator.standard_normal((3, width))) for scale in _SCALES]
    return np.concatenate(states).astype(np.float32)


def _error(found: np.ndarray, expected: np.ndarray, size: np.ndarray) -> float:
    """Return the largest error of a row, relative to the largest entry of `size` in it."""
    largest = np.abs(size).max(axis=1).clip(min=np.finfo(np.float32).tiny)
    return float((np.abs(found - expected).max(axis=1) / largest).max())


def _tolerance(dtype: torch.dtype) -> float:
    return max(_ROUNDINGS * torch.finfo(dtype).eps, _SINGLE)


def _array(values: torch.Tensor) -> np.ndarray:
    return values.detach().float().cpu().numpy()
