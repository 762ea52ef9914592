"""Problems spread over devices, and in parts that fit into memory."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from pid_jax.runtime.checks import check_at_least
from pid_jax.runtime.precision import our_rules
from pid_jax.runtime.threads import usable_cores

# Memory for the arrays of a stage that exist at a time, where nothing else is said, in GB.
BUDGET_GB = 2.0
# CPUs solve problems one after the other anyway, and with more at a time the system spends a fifth of the time on pages
# of memory that it hands out (docs/decisions/0023-devices.md).
CPU_BYTES = 50e6
_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True)
class Layout:
    """Where problems are solved.

    Attributes:
        mesh: Devices of this process; problems are divided among all of them, whatever its axes are called.
        budget_bytes: Memory for the arrays of a stage that exist at a time on all devices together.
    """

    mesh: Mesh
    budget_bytes: float

    @cached_property
    def devices(self) -> Sequence[Any]:
        """All devices in their order in the mesh."""
        return list(self.mesh.devices.flat)


_layout: ContextVar[Layout | None] = ContextVar("layout", default=None)


@contextmanager
def use_devices(mesh: Mesh | None = None, budget_gb: float | None = None) -> Iterator[Layout]:
    """Choose the devices and the memory of every computation inside the block, in the current thread.

    Numbers do not depend on either. Blocks may be nested.

    Args:
        mesh: Devices of this process among which problems (layers, tasks, replicates) are divided, whatever the axes of
            the mesh are called. By default those of the enclosing block, or else all devices of the process.
        budget_gb: Memory in GB for the arrays of a stage that exist at one time on all devices together; arrays that
            are passed or returned are not counted. By default that of the enclosing block, or else 2.

    Raises:
        TypeError: If `mesh` is no `jax.sharding.Mesh`.
        ValueError: If the mesh holds devices of other processes, or the budget is not positive.
        RuntimeError: In a process that was forked after JAX had started.

    Example:
        >>> import jax
        >>> import numpy as np
        >>> from pid_jax import gaussian_pid, use_devices
        >>> with use_devices(jax.make_mesh((1,), ("layers",)), budget_gb=0.5):
        ...     estimate = gaussian_pid(np.broadcast_to(np.eye(3), (33, 3, 3)), (1, 1, 1))
        >>> estimate.atoms.synergy.shape
        (33,)
    """
    if budget_gb is not None:
        check_at_least("budget_gb", budget_gb, 0, is_open=True)
    with our_rules():
        outer = current_layout()
        budget_bytes = outer.budget_bytes if budget_gb is None else 1e9 * budget_gb
        layout = Layout(outer.mesh if mesh is None else _check_mesh(mesh), budget_bytes)
        token = _layout.set(layout)
        try:
            with _default(layout.devices[0]):  # what is not divided is computed there
                yield layout
        finally:
            _layout.reset(token)


def current_layout() -> Layout:
    """Return the layout of the block around; outside of any all devices of this process, and `BUDGET_GB`."""
    return _layout.get() or Layout(_all_devices(), 1e9 * BUDGET_GB)


def in_threads(function: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
    """Call a function for all items in a thread per core, each with the devices and memory of the layout."""
    layout = current_layout()

    def call(item: _T) -> _R:
        with use_devices(layout.mesh, layout.budget_bytes / 1e9):  # a new thread has no layout
            return function(item)

    with ThreadPoolExecutor(usable_cores()) as pool:
        return list(pool.map(call, items))


def over_devices(function: Callable[..., Any], mesh: Mesh | None) -> Callable[..., Any]:
    """Make a function of batches run on every device with its part of each batch; for use under `jax.jit`.

    Args:
        function: Takes and returns arrays with one leading axis of problems. What is the same for all problems is not
            passed but closed over.
        mesh: Devices, whose number divides the number of problems; None leaves the function as it is.
    """
    if mesh is None:
        return function
    spec = PartitionSpec(mesh.axis_names)
    return jax.shard_map(function, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)


def one_each(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function of one problem take a batch of one; for programs that are to be compiled for one problem only."""

    def batched(*batches: Any) -> Any:
        found = function(*(jax.tree.map(lambda x: x[0], batch) for batch in batches))
        return jax.tree.map(lambda x: x[None], found)

    return batched


def map_problems(
    function: Callable[..., Any],
    *batches: Any,
    bytes_each: float = 0,
    is_one_each: bool = False,
    dtype: Any = None,
) -> Any:
    """Solve a batch of problems on all devices of the layout, in as few parts as its memory allows.

    Parts have one size, so that one program is compiled; the last is filled up with its last problem. Where memory runs
    out all the same, parts are halved, and a warning says so.

    Args:
        function: A compiled function of batches and of `mesh`, a static argument for `over_devices`.
        batches: Arrays, or trees of them, with one leading axis of problems; None is passed on.
        bytes_each: Memory that a problem takes with all that is computed on the way; 0 if it is small.
        is_one_each: Whether parts have one problem for each device, so that `function` is compiled once for any number.
        dtype: What batches are turned into, part by part; what they are if not given.

    Returns:
        What `function` returns, as NumPy arrays.

    Raises:
        MemoryError: If there is not even memory for one problem on each device.
    """
    layout = current_layout()
    count = len(jax.tree.leaves(batches)[0])
    solve = partial(_solve_part, function, batches, dtype, count, layout)
    size = part_size(count, bytes_each, layout)
    parts = in_parts(solve, count, min(size, len(layout.devices)) if is_one_each else size, layout)
    return parts[0] if len(parts) == 1 else jax.tree.map(lambda *found: np.concatenate(found), *parts)


def in_parts(solve: Callable[[int, int], _R], count: int, size: int, layout: Layout) -> list[_R]:
    """Solve all problems part by part; where memory runs out parts are halved, and a warning says so.

    Args:
        solve: Called with the first problem of a part and how many it has, the last part being filled up.
        count: All problems.
        size: Problems of a part.
        layout: Where they are solved.

    Raises:
        MemoryError: If there is not even memory for one problem on each device.
    """
    parts, first = [], 0
    while first < count or not parts:
        try:
            parts.append(solve(first, size))
            first += size
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            size = _halved(size, len(layout.devices), error)
    return parts


def part_size(count: int, bytes_each: float, layout: Layout) -> int:
    """Say how many problems to solve at a time: a single one, or a multiple of the devices; parts of about one size."""
    devices = len(layout.devices)
    if count <= 1:
        return count
    budget = layout.budget_bytes / devices
    if is_on_cpu(layout.devices):
        budget = min(budget, CPU_BYTES)
    most = max(1, int(budget // bytes_each)) if bytes_each else count
    parts = -(-count // (devices * most))
    return devices * -(-count // (devices * parts))


def is_on_cpu(devices: Sequence[Any]) -> bool:
    """Tell whether there are CPUs only."""
    return all(device.platform == "cpu" for device in devices)


def mesh_of(size: int, layout: Layout) -> Mesh | None:
    """Tell among which devices to divide a part; None for one that is not divided.

    Args:
        size: See `part_size`.
        layout: Where problems are solved.
    """
    return layout.mesh if size > 1 and len(layout.devices) > 1 else None


def _halved(size: int, devices: int, error: Exception) -> int:
    """Return half the size of a part after memory ran out; raise any other error again.

    Raises:
        MemoryError: If one problem a device is too much already.
    """
    is_memory = isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)
    if not is_memory:
        raise error
    if size <= devices:
        raise MemoryError(
            f"Memory ran out with {size} problem{'s' * (size > 1)} at a time, and no less can be solved: use fewer "
            "samples or dims, or a device with more memory."
        ) from error
    smaller = max(devices, size // 2 // devices * devices)
    warnings.warn(
        f"Memory ran out with {size} problems at a time; going on with {smaller}. A smaller budget_gb begins there.",
        stacklevel=3,
    )
    return smaller


def place_batches(batches: _R, mesh: Mesh) -> _R:
    """Divide arrays along their leading axis among devices."""
    return jax.device_put(batches, NamedSharding(mesh, PartitionSpec(mesh.axis_names)))


def _solve_part(
    function: Callable[..., Any],
    batches: tuple[Any, ...],
    dtype: Any,
    count: int,
    layout: Layout,
    first: int,
    size: int,
) -> Any:
    """Solve some problems, filled up to the size of a part."""
    own = min(size, count - first)
    rows = slice(first, first + own)
    chosen = jax.tree.map(lambda x: _fill_up(x[rows].astype(dtype or x.dtype, copy=False), size), batches)
    mesh = mesh_of(size, layout)
    placed = chosen if mesh is None else place_batches(chosen, mesh)
    found = jax.tree.map(np.asarray, function(*placed, mesh=mesh))
    return found if size == own else jax.tree.map(lambda x: x[:own], found)


def _fill_up(batch: np.ndarray, size: int) -> np.ndarray:
    missing = size - len(batch)
    return batch if missing == 0 else np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)])


def _all_devices() -> Mesh:
    """Return what JAX would compute on: all devices of this process, or the one that the caller has chosen."""
    devices = jax.local_devices() if jax.config.values["jax_default_device"] is None else [_default_device()]
    return Mesh(np.asarray(devices), ("problems",))


def _default(device: Any) -> AbstractContextManager[None]:
    """Compute on a device inside the block; nothing is to be done if JAX does so by itself."""
    return nullcontext() if device == _default_device() else jax.default_device(device)


def _default_device() -> Any:
    chosen = jax.config.values["jax_default_device"]
    if chosen is None or isinstance(chosen, str):
        return jax.local_devices(backend=chosen)[0]
    return chosen


def _check_mesh(mesh: object) -> Mesh:
    """Refuse what is not a mesh of devices of this process."""
    if not isinstance(mesh, Mesh):
        raise TypeError(
            f"mesh needs a jax.sharding.Mesh, got {type(mesh).__name__}: jax.make_mesh((4,), ('problems',)) makes one "
            "of four devices."
        )
    if not mesh.devices.size:
        raise ValueError("mesh needs at least one device, got none: leave it out to use all devices of the process.")
    others = [device for device in mesh.devices.flat if device.process_index != jax.process_index()]
    if others:
        raise ValueError(
            f"mesh needs devices of this process, got {others[0]} of process {others[0].process_index}: give every "
            "process its own problems, as pid-jax study --distributed does."
        )
    return mesh
