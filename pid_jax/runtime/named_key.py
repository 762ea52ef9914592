"""Random keys by name: what is drawn for one thing does not depend on which others there are."""

import zlib

import jax


def named_key(key: jax.Array, name: str) -> jax.Array:
    """Derive the key that belongs to a name."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))
