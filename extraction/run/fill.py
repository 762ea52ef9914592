"""Extract the states of all samples into activation stores: one a condition, filled together."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from extraction.datasets.load import data_digest
from extraction.datasets.sample import Sample
from extraction.errors import TooManyFailuresError
from extraction.model.fingerprint import fingerprint
from extraction.model.load import VisionLanguageModel
from extraction.passes.capture import StatesPlan
from extraction.passes.edges import Knockout, describe_condition
from extraction.passes.encode import Encoder, Prepared
from extraction.passes.forward import BatchResult, ForwardPlan, describe_sample, run_batch
from extraction.run.processes import Process
from extraction.run.same_images import IMAGE_HASH, KnownImages
from extraction.run.settings import RunSettings, package_versions
from extraction.run.workers import Outcome, WriteBehind, preparing
from pid_jax.runtime.files import describe_bytes, free_bytes
from pid_jax.store import NORM, ActivationStore, Failure, Manifest, tensor_name
from pid_jax.store.folder import LocalFolder

LOGPROB = "first_logprob"
"""Column with the log-probability of the token that is generated first."""
_LARGEST_FLOAT16 = float(np.finfo(np.float16).max)
_MOST_HELD_TWICE = 4  # conditions whose shard may wait in memory while that of the next samples is made
_LOOK_EVERY_S = 0.5  # an object store is listed for it


@dataclass(frozen=True, kw_only=True)
class Target:
    """A condition and the store it goes to.

    Attributes:
        store: The store.
        knockout: What is cut; None for the model as it is.
        columns: Further columns of every sample, by its id.
    """

    store: ActivationStore
    knockout: Knockout | None = None
    columns: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


@dataclass(kw_only=True)
class RunOptions:
    """How a run goes; nothing here decides what the stores hold.

    Attributes:
        workers: Processes that decode images; 0 for none besides this one.
        max_errors: Failures of samples after which the run stops; None for no limit.
        strict_versions: Whether a store of other versions of packages is refused, without a look at its numbers.
        process: Which of several processes this is, `Process.from_environment()` under a launcher; alone if not given.
        progress: Called with the number of samples of all stores that are there.
        say: Called with what a user should know, a line each.
    """

    workers: int = 0
    max_errors: int | None = None
    strict_versions: bool = False
    process: Process = field(default_factory=Process)
    progress: Callable[[int], None] = lambda done: None
    say: Callable[[str], None] = lambda line: None

    def __post_init__(self) -> None:
        if self.max_errors is not None and self.max_errors < 0:
            raise ValueError(f"max_errors must be 0 or more, got {self.max_errors}.")


def plan_store(vlm: VisionLanguageModel, samples: Sequence[Sample], settings: RunSettings) -> Manifest:
    """Write down what the store of a baseline will hold.

    Raises:
        ValueError: If the model does not have a layer that is asked for.
    """
    layers = layers_of(vlm, settings)
    tensors = [tensor_name(role, layer) for layer in layers for role in settings.roles]
    kept = asdict(settings if settings.layers is None else replace(settings, layers=layers))
    return Manifest(
        ids=tuple(sample.id for sample in samples),
        shard_size=settings.shard_size,
        tensors=(*tensors, *([tensor_name("last", NORM)] if "last" in settings.roles else [])),
        condition=describe_condition(None),
        settings={
            **kept,
            "data_sha256": data_digest(samples),
            "fingerprint": fingerprint(vlm),
            "pooling": "mean over the positions of the role, float32",
        },
    )


def layers_of(vlm: VisionLanguageModel, settings: RunSettings) -> tuple[int, ...]:
    """List the layers recorded, in rising order; negative numbers count from the last block, -1."""
    count = len(vlm.layers)
    if settings.layers is None:
        return tuple(range(count + 1))
    if wrong := [layer for layer in settings.layers if not -count - 1 <= layer <= count]:
        raise ValueError(
            f"layers must be within 0 (embeddings) to {count} (last block), or -1 (last block) to {-count - 1} "
            f"(embeddings), got {wrong[0]}."
        )
    return tuple(sorted({layer % (count + 1) for layer in settings.layers}))


def fill(
    vlm: VisionLanguageModel,
    samples: Sequence[Sample],
    settings: RunSettings,
    targets: Sequence[Target],
    options: RunOptions | None = None,
    images: KnownImages | None = None,
) -> None:
    """Fill the missing shards of stores with the same samples.

    A shard's samples are cut into batches in a fixed way, so a shard made after a restart, or by another process,
    equals the one that an undisturbed run would have made, bit by bit; only a batch that had to be halved for want of
    memory may differ in its last bits.

    Args:
        vlm: The model.
        samples: The samples of the stores' manifests, in their order.
        settings: Template, batch size, roles, type on disk.
        targets: Conditions and stores; a pass over the prompts serves all of them.
        options: How the run goes.
        images: What the images must be; those of the rows that the first store has, if not given.

    Raises:
        ValueError: If the content of an image has changed.
        TooManyFailuresError: If more samples failed than `options.max_errors`.
    """
    options = options or RunOptions()
    plan = ForwardPlan(
        states=StatesPlan(roles=settings.roles, layers=layers_of(vlm, settings)),
        max_new_tokens=settings.max_new_tokens,
        share_images=settings.share_images,
    )
    by_id = {sample.id: sample for sample in samples}
    missing = sorted({index for target in targets for index in target.store.missing_shards()})
    known = images or KnownImages(targets[0].store, samples)
    with_logprobs = {str(target.store.path): has_logprobs(target.store) for target in targets}
    runner = _Runner(vlm, plan, settings.batch_size, options.say, known, with_logprobs)
    versions = package_versions()

    others = _Others(options)

    def write(index: int, targets: Sequence[Target], made: Sequence[_Rows]) -> None:
        for target, rows in zip(targets, made, strict=True):
            if target.store.has_shard(index):
                others.tell(target.store)
                continue
            tensors = rows.tensors(plan.states, settings.dtype)
            target.store.write_shard(index, rows.ids, rows.columns, tensors, rows.failures, versions)

    def wanted() -> Iterator[tuple[int, list[Sample]]]:
        for index in options.process.order(missing):
            if _lacking(targets, index):
                yield index, [by_id[i] for i in targets[0].store.shard_ids(index)]

    if options.process.is_first:
        _warn_of_full_disk(targets, vlm.width * np.dtype(settings.dtype).itemsize, options.say)
    count = _Count(targets, options)
    encoder = Encoder.of(vlm, settings.template, settings.roles)
    with preparing(encoder, options.workers, options.say) as preparation, WriteBehind() as writing:
        for index, outcomes in preparation.shards(wanted()):
            lacking = _lacking(targets, index)
            if not lacking:
                others.tell(targets[0].store)
            made = runner.run(outcomes, lacking) if lacking else []
            writing.submit(partial(write, index, lacking, made))
            has_failed = any(rows.failures for rows in made)
            # The count that may stop the run is of what is written; and many conditions are not held twice.
            if has_failed or len(lacking) > _MOST_HELD_TWICE:
                writing.wait()
            count.tell(at_once=has_failed)
    count.tell(at_once=True)
    if images is None:
        known.check_rows()


def _lacking(targets: Sequence[Target], index: int) -> list[Target]:
    return [target for target in targets if not target.store.has_shard(index)]


def _warn_of_full_disk(targets: Sequence[Target], bytes_a_state: int, say: Callable[[str], None]) -> None:
    """Say so where what is missing of the stores does not fit on their disk; others may free it meanwhile."""
    needed: dict[int, tuple[ActivationStore, int]] = {}
    for store in (target.store for target in targets):
        if isinstance(store.folder, LocalFolder):
            samples = sum(len(store.shard_ids(index)) for index in store.missing_shards())
            disk = store.folder.path.stat().st_dev
            before = needed.get(disk, (store, 0))[1]
            needed[disk] = store, before + samples * len(store.manifest.tensors) * bytes_a_state
    for store, count in needed.values():
        if count > (free := free_bytes(Path(store.path))):
            say(
                f"The states that are missing take {describe_bytes(count)}, and {describe_bytes(free)} are free on the "
                f"disk of {store.path}: free space in time. If it is full, what is complete is kept, and the same "
                "command resumes."
            )


class _Others:
    """Tells once that another run, which a user may have forgotten, makes the same shards."""

    def __init__(self, options: RunOptions) -> None:
        self._say, self._is_told = options.say, options.process.world_size > 1

    def tell(self, store: ActivationStore) -> None:
        """Say that a shard appeared that this run was going to make."""
        if not self._is_told:
            self._is_told = True
            self._say(
                f"Another run fills {store.path}, too: nothing is damaged, and what it has made is not made again. One "
                "of them can be stopped; to share the work use torchrun or srun."
            )


class _Count:
    """Counts samples and failures over all processes: what is in the stores, looked at now and then."""

    def __init__(self, targets: Sequence[Target], options: RunOptions) -> None:
        self._targets, self._options = targets, options
        self._failures: dict[tuple[int, int], int] = {}
        self._looked = -math.inf
        self.tell(at_once=True)

    def tell(self, *, at_once: bool) -> None:
        """Report progress, and stop where too many samples failed; unless `at_once`, only if some time has passed.

        Raises:
            TooManyFailuresError: If one of the stores has more failures than are allowed.
        """
        allowed = self._options.max_errors
        is_asked = self._options.process.is_first or allowed is not None
        if not is_asked or not (at_once or time.monotonic() - self._looked > _LOOK_EVERY_S):
            return
        self._looked = time.monotonic()
        done = 0
        for t, target in enumerate(self._targets):
            there = target.store.present_shards()
            done += sum(len(target.store.shard_ids(index)) for index in there)
            if allowed is not None:
                self._check(t, target.store, there, allowed)
        self._options.progress(done)

    def _check(self, t: int, store: ActivationStore, there: list[int], allowed: int) -> None:
        for index in there:
            if (t, index) not in self._failures:
                self._failures[t, index] = len(store.header(index).failures)
        failed = {index: count for index in there if (count := self._failures[t, index])}
        if sum(failed.values()) > allowed:
            raise TooManyFailuresError(
                sum(failed.values()), allowed, [str(store.shard_path(index)) for index in failed]
            )


def has_logprobs(store: ActivationStore) -> bool:
    """Whether rows of a store have log-probabilities: all but those of a store that was begun by an earlier release."""
    for index in store.present_shards():
        if rows := store.header(index).columns:
            return LOGPROB in rows[0]
    return True


class _Rows:
    """Rows and failures of one shard under one condition."""

    def __init__(self, target: Target, failures: list[Failure], *, has_logprobs: bool) -> None:
        self.failures = failures
        self._further = target.columns
        self._has_logprobs = has_logprobs
        self.ids: list[str] = []
        self.columns: list[dict[str, object]] = []
        self._states: list[np.ndarray] = []

    def add(self, part: Sequence[Prepared], result: BatchResult) -> None:
        """Keep the samples of a batch; those whose states are not finite are failures."""
        is_good = np.asarray(np.isfinite(result.states).all(axis=(1, 2, 3)))
        logprobs = result.logprobs if self._has_logprobs else {}
        for row, (prepared, good, text) in enumerate(zip(part, is_good, result.answers, strict=True)):
            if good:
                self.ids.append(prepared.sample.id)
                own = {name: float(values[row]) for name, values in logprobs.items()}
                own |= {IMAGE_HASH: prepared.image_hash, **self._further.get(prepared.sample.id, {})}
                self.columns.append({**describe_sample(prepared, text), **own})
            else:
                message = "the model's states are NaN or infinite: run it in float32 or bfloat16"
                self.failures.append(Failure(id=prepared.sample.id, stage="states", message=message))
        self._states.append(result.states[is_good])

    def tensors(self, plan: StatesPlan, dtype: str) -> dict[str, np.ndarray]:
        """Name the states of every role and layer, (rows, width), each in the type that it has on disk."""
        if not self.ids or not plan.roles:
            return {}
        states = np.concatenate(self._states)  # (rows, slots, roles, width)
        tensors = {
            tensor_name(role, layer): states[:, slot, r]
            for slot, layer in enumerate(plan.slots)
            for r, role in enumerate(plan.roles)
            if layer != NORM or role == "last"
        }
        return tensors if dtype == "float32" else {name: _halved(values) for name, values in tensors.items()}


@dataclass
class _Runner:
    """Runs the batches of a shard; keeps a smaller batch size once memory ran out."""

    vlm: VisionLanguageModel
    plan: ForwardPlan
    batch_size: int
    say: Callable[[str], None]
    images: KnownImages
    with_logprobs: Mapping[str, bool]

    def run(self, outcomes: Sequence[Outcome], targets: Sequence[Target]) -> list[_Rows]:
        """Return the rows of a shard under the condition of each target."""
        self.images.check(outcomes)
        ready = _by_length([outcome for outcome in outcomes if isinstance(outcome, Prepared)])
        failures, conditions = [one for one in outcomes if isinstance(one, Failure)], [one.knockout for one in targets]
        has_logprobs = [self.with_logprobs[str(target.store.path)] for target in targets]
        rows = [_Rows(one, list(failures), has_logprobs=has) for one, has in zip(targets, has_logprobs, strict=True)]
        at = 0
        while at < len(ready):
            part = ready[at : at + self.batch_size]
            results = self._try(part, conditions)
            if results is not None:
                for condition_rows, result in zip(rows, results, strict=True):
                    condition_rows.add(part, result)
                at += len(part)
            elif len(part) == 1:
                message = "one sample alone does not fit into the memory of the device: use a larger one, or device_map"
                for condition_rows in rows:
                    condition_rows.failures.append(Failure(id=part[0].sample.id, stage="memory", message=message))
                at += 1
            else:
                self.batch_size = len(part) // 2
                self.say(f"Out of memory: batches of {self.batch_size} from here on.")
        return rows

    def _try(self, part: Sequence[Prepared], conditions: Sequence[Knockout | None]) -> list[BatchResult] | None:
        try:
            return run_batch(self.vlm, part, self.plan, conditions)
        except (torch.OutOfMemoryError, MemoryError):
            pass
        except RuntimeError as error:
            if "can't allocate memory" not in str(error):  # what PyTorch says on a CPU
                raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None


def _by_length(prepared: list[Prepared]) -> list[Prepared]:
    """Put prompts of like length together, and questions about one image beside each other."""
    first: dict[object, int] = {}
    for i, one in enumerate(prepared):
        first.setdefault(one.sample.image_key, i)
    return sorted(prepared, key=lambda one: (one.prefix, first[one.sample.image_key], len(one)))


def _halved(values: np.ndarray) -> np.ndarray:
    """Convert to float16, unless a value would overflow: a few layers of large models have states that do."""
    return values.astype(np.float16) if np.abs(values).max() < _LARGEST_FLOAT16 else values
