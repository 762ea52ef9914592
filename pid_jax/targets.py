"""What a decomposition is about: the targets of a study. A target is chosen by its type, see decision 0020."""

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
    k - 1 dimensions, so it needs a reduction.
    """

    @property
    def label(self) -> str:
        """Name for titles and axes."""
        return "expected output embedding of the answer"


Target = FinalNorm | AnswerLogits | LogitLens | AnswerEmbedding

TARGETS: dict[str, Target] = {
    "final-norm": FinalNorm(),
    "answer-logits": AnswerLogits(),
    "logit-lens": LogitLens(),
    "logit-lens-answers": LogitLens(of="answers"),
    "answer-embedding": AnswerEmbedding(),
}
"""Targets by the names that a command line takes."""
