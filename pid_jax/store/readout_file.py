"""The file beside the shards of a store that holds the model's readout."""

import json
from collections.abc import Sequence
from dataclasses import replace

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
from pid_jax.store.readout import Candidate, Readout
from pid_jax.store.shard import StoreError

READOUT = "readout.safetensors"
_KEY = "pid_jax.readout"
_ARRAYS = ("weight", "bias", "embedding", "head_bias")
_OF_NORM = ("is_centered", "eps", "weight", "bias")


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


def join_readouts(readouts: Sequence[Readout]) -> Readout:
    """Make one readout with the candidates of several of one model.

    Raises:
        StoreError: If they are not of one model.
    """
    first = readouts[0]
    found: dict[int, tuple[Candidate, np.ndarray, np.ndarray]] = {}
    for readout in readouts:
        is_alike = all(np.array_equal(getattr(first, name), getattr(readout, name)) for name in _OF_NORM)
        for candidate, row, bias in zip(readout.candidates, readout.embedding, readout.head_bias, strict=True):
            known, *there = found.setdefault(candidate.token, (candidate, row, bias))
            is_alike &= np.array_equal(there[0], row) and there[1] == bias
            answers = tuple(sorted({*known.answers, *candidate.answers}))
            found[candidate.token] = replace(known, answers=answers), row, bias
        if not is_alike:
            raise StoreError(f"The stores have different final norms or output embeddings in their {READOUT}.")
    ordered = [found[token] for token in sorted(found)]
    return replace(
        first,
        candidates=tuple(candidate for candidate, _, _ in ordered),
        embedding=np.array([row for _, row, _ in ordered], np.float32).reshape(-1, first.width),
        head_bias=np.array([bias for _, _, bias in ordered], np.float32),
    )


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
