"""Activation stores, and states in files of other tools. Needs no JAX."""

from pid_jax.store.activations import Activations as Activations
from pid_jax.store.manifest import NORM as NORM
from pid_jax.store.manifest import Manifest as Manifest
from pid_jax.store.manifest import describe_differences as describe_differences
from pid_jax.store.manifest import tensor_name as tensor_name
from pid_jax.store.shard import Failure as Failure
from pid_jax.store.shard import StoreError as StoreError
from pid_jax.store.store import ActivationStore as ActivationStore
