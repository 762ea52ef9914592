"""What a model does with its last state: the final norm, and the logits of the candidate answers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_BLOCK = 1024  # rows that are in float64 at a time


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A token that begins an answer.

    Attributes:
        token: Its id.
        text: How the tokenizer writes it.
        answers: Gold answers that begin with it.
    """

    token: int
    text: str
    answers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Readout:
    """Final norm and rows of the output embedding of a model.

        norm(x) = weight * (x - m) / sqrt(mean((x - m)^2) + eps) + bias,
        logits_a(x) = <embedding_a, norm(x)> + head_bias_a,

    with m the mean over the features of x where `is_centered` (LayerNorm) and 0 where not (RMSNorm).

    Attributes:
        is_centered: Whether the norm subtracts the mean.
        eps: What the norm adds to the mean square.
        weight: Factors of the norm (width,), the 1 of those norms included that multiply by 1 + w.
        bias: Offsets of the norm (width,); zeros where it has none.
        candidates: The answers, one a row of `embedding`, in rising order of tokens.
        embedding: Rows of the output embedding (candidates, width).
        head_bias: Offsets of the logits (candidates,); zeros where the head has none.
    """

    is_centered: bool
    eps: float
    weight: np.ndarray
    bias: np.ndarray
    candidates: tuple[Candidate, ...]
    embedding: np.ndarray
    head_bias: np.ndarray

    @property
    def width(self) -> int:
        """Length of a state."""
        return len(self.weight)

    def norm(self, states: np.ndarray) -> np.ndarray:
        """Apply the final norm to states (n, width)."""
        return self._by_blocks(states, self.width, self._norm)

    def logits(self, normed: np.ndarray) -> np.ndarray:
        """Return the logits of the candidates (n, candidates) for normed states (n, width), centered.

        Logits are defined up to a constant a row, so the mean over the candidates is subtracted.
        """
        return self._by_blocks(normed, len(self.candidates), self._logits)

    def expected_embedding(self, normed: np.ndarray, temperature: float = 1.0) -> np.ndarray:
        """Return the mean row of `embedding` (n, width) for normed states (n, width).

        Rows are weighted by the softmax of the candidates' logits, divided by the temperature.
        """

        def expect(rows: np.ndarray) -> np.ndarray:
            logits = self._logits(rows) / temperature
            weights = np.exp(logits - logits.max(axis=1, keepdims=True))
            return (weights / weights.sum(axis=1, keepdims=True)) @ self.embedding

        return self._by_blocks(normed, self.width, expect)

    def _norm(self, rows: np.ndarray) -> np.ndarray:
        if self.is_centered:
            rows = rows - rows.mean(axis=1, keepdims=True)
        scale = np.sqrt(np.mean(rows * rows, axis=1, keepdims=True) + self.eps)
        return self.weight * (rows / scale) + self.bias

    def _logits(self, rows: np.ndarray) -> np.ndarray:
        logits = rows @ self.embedding.T.astype(np.float64) + self.head_bias
        return logits - logits.mean(axis=1, keepdims=True)

    def _by_blocks(self, states: np.ndarray, width: int, action: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Compute in float64, a block of rows at a time, and return float32."""
        if states.ndim != 2 or states.shape[1] != self.width:
            raise ValueError(
                f"states must have shape (n, {self.width}), got {states.shape}: they are not of the model that the "
                "readout was made from."
            )
        result = np.empty((len(states), width), np.float32)
        for start in range(0, len(states), _BLOCK):
            rows = slice(start, start + _BLOCK)
            result[rows] = action(states[rows].astype(np.float64))
        return result
