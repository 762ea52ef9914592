"""What a decomposition is about: the targets of a study. A target is chosen by its type, see decision 0020."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class FinalNorm:
    """The final norm's output at the last position of the prompt: the same for every layer."""

    @property
    def label(self) -> str:
        """Name for titles and axes."""
        return "final-norm state at the last position"


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


Target = FinalNorm | AnswerLogits | LogitLens | AnswerEmbedding

TARGETS: dict[str, Target] = {
    "final-norm": FinalNorm(),
    "answer-logits": AnswerLogits(),
    "logit-lens": LogitLens(),
    "logit-lens-answers": LogitLens(of="answers"),
    "answer-embedding": AnswerEmbedding(),
}
"""Targets by the names that a command line takes."""
