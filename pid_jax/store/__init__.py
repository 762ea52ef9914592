"""Activation stores: everything about states on disk. Needs no JAX."""

from pid_jax.store.manifest import Manifest as Manifest
from pid_jax.store.manifest import describe_differences as describe_differences
from pid_jax.store.store import NORM as NORM
from pid_jax.store.store import ActivationStore as ActivationStore
from pid_jax.store.store import Failure as Failure
from pid_jax.store.store import StoreError as StoreError
from pid_jax.store.store import tensor_name as tensor_name
