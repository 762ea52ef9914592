"""What a model does with its last state, final norm and logits of the candidate answers, and the file that holds it."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pid_jax.store.container import (
    ContainerError,
    arrange,
    decode_header,
    digest,
    encode_header,
    header_size,
    normalize,
)
from pid_jax.store.folder import Folder, join_path
from pid_jax.store.shard import StoreError

READOUT = "readout.safetensors"
_KEY = "pid_jax.readout"
_ARRAYS = ("weight", "bias", "embedding", "head_bias")
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


def has_readout(folder: Folder) -> bool:
    """Whether a store has a readout."""
    return folder.exists(READOUT)


def write_readout(folder: Folder, readout: Readout, manifest: str) -> None:
    """Write a readout, whole or not at all; equal ones give equal bytes.

    Args:
        folder: The store's.
        readout: The readout; its arrays are written as float32.
        manifest: Checksum of the store's manifest.
    """
    arrays = {name: normalize(getattr(readout, name).astype(np.float32)) for name in _ARRAYS}
    parts = {name: arrays[name].tobytes() for name in arrange(arrays)}
    body = {
        "is_centered": readout.is_centered,
        "eps": readout.eps,
        "candidates": [vars(candidate) for candidate in readout.candidates],
        "manifest": manifest,
        "digests": {name: digest(part) for name, part in parts.items()},
    }
    header = encode_header(_KEY, json.dumps(body, ensure_ascii=False, separators=(",", ":")), arrays)
    folder.write(READOUT, (header, *parts.values()))


def read_readout(folder: Folder, manifest: str) -> Readout:
    """Read and check a readout.

    Args:
        folder: The store's.
        manifest: Checksum of the store's manifest.

    Raises:
        StoreError: If there is none, any of its bytes changed, or it is that of another store.
    """
    place = join_path(folder.path, READOUT)
    try:
        readout, owner = _decode(folder.read(READOUT).tobytes())
    except FileNotFoundError:
        raise StoreError(f"{folder.path} has no {READOUT}: run its extraction again, which adds it.") from None
    except OSError as error:
        raise StoreError(f"{place} cannot be read ({error}): check the disk, the network and your rights.") from error
    except (ValueError, KeyError, TypeError) as error:  # also for a file that another program made
        raise StoreError(
            f"{place} is damaged ({error}): delete this file and run the same extraction again, which makes it anew."
        ) from error
    if owner != manifest:
        raise StoreError(
            f"{place} belongs to another store, which has another manifest: delete this file and run the same "
            "extraction again, which makes it anew."
        )
    return readout


def _decode(content: bytes) -> tuple[Readout, str]:
    """Return the readout, and the checksum of the manifest that it was made for."""
    length = header_size(np.frombuffer(content, np.uint8))
    if length > len(content):
        raise ContainerError("it is truncated, or its length was changed")
    _, text, places = decode_header(_KEY, content[:length], len(content))
    fields = json.loads(text)
    arrays = {}
    for name in _ARRAYS:
        place = places[name]
        part = content[place.start : place.stop]
        if digest(part) != fields["digests"][name]:
            raise ContainerError(f"the bytes of {name} do not fit their checksum")
        arrays[name] = np.frombuffer(part, place.dtype).reshape(place.shape)
    candidates = tuple(Candidate(**one | {"answers": tuple(one["answers"])}) for one in fields["candidates"])
    readout = Readout(is_centered=fields["is_centered"], eps=fields["eps"], candidates=candidates, **arrays)
    return readout, fields["manifest"]
