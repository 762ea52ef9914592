"""Write the readout of a model beside the states of a baseline: final norm, and the rows of the candidate answers."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from operator import itemgetter
from typing import Any

import numpy as np
import torch

from extraction.model.answer_tokens import find_candidates, first_token, gaps
from extraction.model.load import VisionLanguageModel
from extraction.model.prompts import render_prompt
from extraction.run.settings import RunSettings
from pid_jax.store import NORM, ActivationStore
from pid_jax.store.readout import Candidate, Readout, has_readout, write_readout

_SCALES = (1e-3, 1e-1, 1.0, 30.0)  # of the states that are tried: eps counts for the small ones
_SEED = 0
_ROUNDINGS = 4.0  # roundings to the model's precision in which a norm or a product may differ
_SINGLE = 1e-5  # and what sums in another order may add in float32
_QUESTION = "Which?"  # any: what counts is how a prompt ends
_ROWS = 512  # samples whose answers are looked at
# Misses that say nothing: half precision has ties, which greedy answers break by the number of the token, and texts of
# answers lack the special tokens that an untrained model may begin with.
_SHARE_OF_MISSES, _MISSES = 0.1, 4


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
    shares: list[float] = []
    for gap in gaps(prompt):
        readout = _with_rows(vlm, norm, find_candidates(columns, tokenizer, prompt, gap))
        tokens = [first_token(tokenizer, prompt, gap, str(answer)) if answer else None for answer in answers]
        misses, count = count_misses(readout, states, tokens)
        if misses <= max(_SHARE_OF_MISSES * count, _MISSES):
            return readout
        shares.append(misses / count)
    raise _NoReadoutError(
        f"{min(shares):.0%} of the generated answers that begin with a candidate begin with another one than the "
        f"likeliest, at most {_SHARE_OF_MISSES:.0%} may: it is not known with which tokens the model begins its answers"
    )


def count_misses(readout: Readout, states: np.ndarray, tokens: Sequence[int | None]) -> tuple[int, int]:
    """Count how often the likeliest candidate does not begin the answer, and the answers that a candidate begins.

    Args:
        readout: The readout.
        states: Final-norm states (n, width).
        tokens: First tokens of the answers.
    """
    known = np.array([candidate.token for candidate in readout.candidates])
    begins = np.array([token is not None and token in known for token in tokens])
    if not begins.any():
        return 0, 0
    likeliest = known[readout.logits(states[begins]).argmax(axis=1)]
    said = np.array([token for token, is_known in zip(tokens, begins, strict=True) if is_known])
    return int((likeliest != said).sum()), len(said)


@torch.inference_mode()
def find_norm(vlm: VisionLanguageModel) -> Readout:
    """Find out which norm the model has, by what it does to random states; the result has no candidates."""
    weight, bias = (_parameter("norm", vlm.norm, name) for name in ("weight", "bias"))
    eps = getattr(vlm.norm, "variance_epsilon", getattr(vlm.norm, "eps", None))
    if weight is None or weight.shape != (vlm.width,) or not isinstance(eps, float):
        raise _NoReadoutError(f"the final norm {type(vlm.norm).__name__} has no weight for each feature, or no eps")
    factors = _array(weight)
    states = torch.from_numpy(_random_states(vlm.width)).to(weight)
    expected = _array(vlm.norm(states))
    found: list[tuple[float, Readout]] = []
    for is_centered, offset in product((False, True), (0.0, 1.0)):
        norm = Readout(
            is_centered=is_centered,
            eps=eps,
            weight=factors + np.float32(offset),
            bias=np.zeros_like(factors) if bias is None else _array(bias),
            candidates=(),
            embedding=np.zeros((0, vlm.width), np.float32),
            head_bias=np.zeros(0, np.float32),
        )
        found.append((_error(norm.norm(_array(states)), expected, expected), norm))
    error, nearest = min(found, key=itemgetter(0))  # in half precision, more than one may be near
    if error > _tolerance(states.dtype):
        raise _NoReadoutError(
            f"the final norm {type(vlm.norm).__name__} is neither an RMSNorm nor a LayerNorm: on random states it "
            f"differs from both, by a relative {error:.0e} at least"
        )
    return nearest


def _with_rows(vlm: VisionLanguageModel, norm: Readout, candidates: tuple[Candidate, ...]) -> Readout:
    """Add the candidates' rows of the output embedding, and check the logits that they give."""
    tokens = [candidate.token for candidate in candidates]
    weight, bias = (_parameter("head", vlm.head, name) for name in ("weight", "bias"))
    if weight is None or weight.ndim != 2 or weight.shape[1] != vlm.width:
        raise _NoReadoutError(f"the output embedding {type(vlm.head).__name__} has no row of numbers for each token")
    head_bias = np.zeros(len(tokens), np.float32) if bias is None else _array(bias[tokens])
    readout = replace(norm, candidates=candidates, embedding=_array(weight[tokens]), head_bias=head_bias)
    states = torch.from_numpy(norm.norm(_random_states(vlm.width))).to(weight)
    expected = _array(vlm.logits(states)[:, tokens])
    if tokens:
        centered = expected - expected.mean(axis=1, keepdims=True)
        error = _error(readout.logits(_array(states)), centered, expected)
        if error > _tolerance(states.dtype):
            raise _NoReadoutError(
                f"the output embedding {type(vlm.head).__name__} is not linear, its weights are not its own, or "
                f"logits are capped: on random states they differ from theirs by a relative {error:.0e}"
            )
    return readout


def _parameter(what: str, module: Any, name: str) -> torch.Tensor | None:
    """Return a parameter; None if the module has none of numbers."""
    value = getattr(module, name, None)
    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        return None
    if value.is_meta:
        raise _NoReadoutError(f"the weights of its {what} are not in memory: use a device_map that does not offload it")
    return value


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
