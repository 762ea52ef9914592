"""What a decomposition is about, the targets of a study, and how they are read from stores.

A target is chosen by its type, see decision 0020. One layer of one store is in memory at a time.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from pid_jax.store.activations import Activations
from pid_jax.store.manifest import NORM, tensor_name
from pid_jax.store.readout import READOUT, Readout, has_readout, read_readout
from pid_jax.store.shard import StoreError

_FEWEST_CANDIDATES = 2
_ROLE = "last"
LAST, EACH = "last", "each"
"""Layers of `State` that are no numbers."""


@dataclass(frozen=True)
class FinalNorm:
    """The final norm's output at the last position of the prompt: the same for every layer."""

    @property
    def label(self) -> str:
        """Name for titles and axes."""
        return "final-norm state at the last position"


@dataclass(frozen=True)
class State:
    """The state of any role: of one layer for all layers of the sources, or of each layer for the same layer.

    Attributes:
        role: The role, such as "last", or a brain area.
        layer: A layer, "norm" for the final norm's output, "last" for the last layer that is recorded, or "each" for
            the layer of the sources.
    """

    role: str = _ROLE
    layer: int | str = "last"

    def __post_init__(self) -> None:
        is_number = isinstance(self.layer, int) and not isinstance(self.layer, bool) and self.layer >= 0
        if not is_number and self.layer not in (NORM, LAST, EACH):
            raise ValueError(
                f"State(layer=...) needs a layer, {NORM!r}, {LAST!r} or {EACH!r}, got {self.layer!r}: see `layers`."
            )

    @property
    def label(self) -> str:
        """Name for titles and axes."""
        at = {LAST: "at the last layer", EACH: "at each layer", NORM: "after the final norm"}
        return f"state of {self.role} {at.get(str(self.layer), f'at layer {self.layer}')}"


@dataclass(frozen=True)
class AnswerLogits:
    """Logits of the candidate answers, centered over the candidates: the same for every layer.

    Candidates are the tokens that begin the gold answers of the baseline's samples. Centered logits of k candidates
    have rank k - 1 at most, so they need a reduction.
    """

    @property
    def label(self) -> str:
        """Name for titles and axes."""
        return "centered logits of the candidate answers"


@dataclass(frozen=True)
class LogitLens:
    """The final norm applied to the state of the last position at each layer: another target in every layer.

    At layer 0 it is constant, so that decompositions begin at layer 1. At the last layer it is the target of
    `FinalNorm`, up to the rounding of the model's precision.

    Source: nostalgebraist (2020), "interpreting GPT: the logit lens".

    Attributes:
        of: "state" for the normed state, "answers" for the centered logits of the candidate answers that it has.
    """

    of: str = "state"

    def __post_init__(self) -> None:
        if self.of not in ("state", "answers"):
            raise ValueError(f'LogitLens(of=...) needs "state" or "answers", got {self.of!r}.')

    @property
    def label(self) -> str:
        """Name for titles and axes."""
        what = "normed state" if self.of == "state" else "centered logits of the candidate answers"
        return f"{what} at the last position of each layer"


@dataclass(frozen=True)
class AnswerEmbedding:
    """The output embedding of the answer that the model expects: the same for every layer.

    The mean of the output embeddings of the candidate answers under the softmax of their logits. k candidates span
    k - 1 dimensions, so it needs a reduction. Where the model is sure of its answers, the mean is the embedding of one
    of them, which is discrete and fits no Gaussian model: raise the temperature, or take `AnswerLogits`.

    Attributes:
        temperature: What the logits are divided by. 1 is the model's own distribution; large ones make the mean a
            linear function of the centered logits.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"AnswerEmbedding(temperature=...) must be positive and finite, got {self.temperature!r}.")

    @property
    def label(self) -> str:
        """Name for titles and axes."""
        at = "" if self.temperature == 1 else f" at temperature {self.temperature:g}"
        return f"expected output embedding of the answer{at}"


@dataclass(frozen=True)
class Answer:
    """An answer as a class, which is the same for every layer; decision 0030.

    Attributes:
        of: "model" for what the model answers with nothing cut, in all conditions; "condition" for what it answers
            under the condition of each store; "gold" for the gold answer; "correct" for whether the answer under the
            condition is the gold one.
    """

    of: str = "model"

    def __post_init__(self) -> None:
        if self.of not in _ANSWER_LABELS:
            raise ValueError(f"Answer(of=...) needs one of {[*_ANSWER_LABELS]}, got {self.of!r}.")

    @property
    def label(self) -> str:
        """Name for titles and axes."""
        return _ANSWER_LABELS[self.of]


_ANSWER_LABELS = {
    "model": "model's answer",
    "condition": "model's answer under each cut",
    "gold": "gold answer",
    "correct": "correctness of the answer",
}

Target = FinalNorm | State | AnswerLogits | LogitLens | AnswerEmbedding

ANSWERS: dict[str, Answer] = {
    "answer": Answer(),
    "own-answer": Answer(of="condition"),
    "gold-answer": Answer(of="gold"),
    "correctness": Answer(of="correct"),
}
"""Answers by the names that a study file takes."""

TARGETS: dict[str, Target] = {
    "final-norm": FinalNorm(),
    "answer-logits": AnswerLogits(),
    "logit-lens": LogitLens(),
    "logit-lens-answers": LogitLens(of="answers"),
    "answer-embedding": AnswerEmbedding(),
}
"""Targets by the names that a command line takes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TargetReader:
    """Reads one target, of the baseline and of knockouts of it.

    Attributes:
        target: What is read.
        readout: The baseline's; a knockout has the same weights. None where the target needs none.
    """

    target: Target
    readout: Readout | None = None

    @property
    def label(self) -> str:
        """Name for titles and axes."""
        return self.target.label

    @property
    def is_same_for_all(self) -> bool:
        """Whether all layers have one target."""
        return not isinstance(self.target, LogitLens) and not (
            isinstance(self.target, State) and self.target.layer == EACH
        )

    @property
    def role(self) -> str:
        """The role that is read."""
        return self.target.role if isinstance(self.target, State) else _ROLE

    def layers(self, store: Activations) -> tuple[int | str, ...]:
        """List the layers to read: one if all have the same target, else those of the sources.

        Those of a logit lens begin at block 1: at layer 0 the last position has the embedding of the prompt's last
        token, which is the same in all samples.
        """
        match self.target:
            case State(layer="each"):
                return store.layers
            case State(layer="last"):
                return (store.layers[-1],)
            case State(layer=layer):
                return (layer,)
            case LogitLens():
                return tuple(layer for layer in store.layers if layer > 0)
            case _:
                return (NORM,)

    def read(self, store: Activations, layer: int | str, rows: Any = None) -> np.ndarray:
        """Read the target at one layer.

        Args:
            store: The baseline, or a knockout of it.
            layer: One of `layers`, or 0.
            rows: Rows wanted, as for `Activations.read`; all if not given.

        Returns:
            The target (n, p): as it is stored for `FinalNorm`, else float32, computed in float64.

        Raises:
            StoreError: If the store lacks the state, or its states are of another model.
            ValueError: If the target does not exist at this layer.
        """
        self.check(store, layer)
        states = store.read(role=self.role, layer=layer, rows=rows)
        if self.readout is None:
            return states
        if states.shape[1] != self.readout.width:
            raise StoreError(
                f"{store.path} has states of width {states.shape[1]}, and the readout of the baseline is for "
                f"{self.readout.width}: use stores of one model."
            )
        match self.target:
            case LogitLens(of="state"):
                return self.readout.norm(states)
            case LogitLens():
                return self.readout.logits(self.readout.norm(states))
            case AnswerEmbedding(temperature):
                return self.readout.expected_embedding(states, temperature)
            case AnswerLogits():
                return self.readout.logits(states)
            case _:
                raise TypeError(f"target {self.target!r} has no readout: add how it is read here.")

    def check(self, store: Activations, layer: int | str) -> None:
        """Refuse a store without the state of a layer.

        Raises:
            StoreError: If it lacks it.
            ValueError: If the target does not exist at this layer.
        """
        if self.role not in store.roles:
            raise StoreError(
                f"target {self.target!r} needs the states of role {self.role!r}, and {store.path} has roles "
                f"{store.roles}: take State(role) of one of these, or extract again with {self.role!r} among the roles."
            )
        if self.is_same_for_all and layer not in self.layers(store):
            raise ValueError(f"layer must be {self.layers(store)[0]!r} for target {self.target!r}, got {layer!r}.")
        if not self.is_same_for_all and layer == NORM:
            raise ValueError(f"layer must be one of {store.layers} for target {self.target!r}, got {layer!r}.")
        if tensor_name(self.role, layer) not in store.manifest.tensors:
            raise StoreError(
                f"target {self.target!r} needs the state of role {self.role!r} at layer {layer!r}, which {store.path} "
                f"lacks; it has layers {store.layers}: extract again with this layer, or take State({self.role!r})."
            )


def target_reader(target: Target, baseline: Activations) -> TargetReader:
    """Make the reader of a target.

    Args:
        target: What to read.
        baseline: The store of the baseline, whose readout serves all its knockouts.

    Raises:
        TypeError: If it is no target.
        StoreError: If the target needs a readout and the baseline has none, or too few candidate answers.
    """
    if not isinstance(target, FinalNorm | State | AnswerLogits | LogitLens | AnswerEmbedding):
        wanted = "FinalNorm(), State(), AnswerLogits(), LogitLens() or AnswerEmbedding()"
        raise TypeError(f"target must be {wanted}, got {target!r}.")
    if isinstance(target, FinalNorm | State):
        reader = TargetReader(target=target)
        for layer in reader.layers(baseline) if isinstance(target, State) else ():
            reader.check(baseline, layer)
        return reader
    if isinstance(target, LogitLens) and not any(baseline.layers):
        raise StoreError(
            f"target {target!r} needs layers behind the embeddings, and {baseline.path} has {baseline.layers}: extract "
            "again with other layers, or use target FinalNorm()."
        )
    if baseline.folder is None:
        raise StoreError(
            f"target {target!r} needs the model's readout, which only stores of `pid-extract` have; {baseline.path} "
            "has none: use target FinalNorm() or State()."
        )
    if not has_readout(baseline.folder):
        raise StoreError(
            f"target {target!r} needs the model's readout, and {baseline.path} has no {READOUT}: run the command that "
            "extracted it again, which adds the file and says why if it cannot; or use target FinalNorm()."
        )
    readout = read_readout(baseline.folder, baseline.manifest.digest)
    count = len(readout.candidates)
    if target != LogitLens() and count < _FEWEST_CANDIDATES:
        raise StoreError(
            f"target {target!r} needs at least {_FEWEST_CANDIDATES} candidate answers, and {baseline.path} has {count} "
            "as its samples have too few gold answers: extract samples with answers, or use target FinalNorm()."
        )
    return TargetReader(target=target, readout=readout)
