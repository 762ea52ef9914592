"""Extract the states of all samples into an activation store, under one condition."""

from collections.abc import Callable, Sequence

import numpy as np

from extraction.batch import Batch, Prepared, make_batch, prepare_sample
from extraction.datasets.sample import Sample
from extraction.edges import Knockout, describe_condition
from extraction.errors import SampleError
from extraction.forward import BatchResult, describe_sample, run_batch
from extraction.models import VisionLanguageModel, fingerprint
from extraction.selftest import KnockoutProof, prove_knockout
from extraction.settings import RunSettings, to_manifest
from pid_jax.store import NORM, ActivationStore, Failure, Manifest, tensor_name

_LARGEST_FLOAT16 = 65504.0


def plan_store(
    vlm: VisionLanguageModel, samples: Sequence[Sample], settings: RunSettings, knockout: Knockout | None
) -> Manifest:
    """Write down what the store will hold."""
    layers = range(len(vlm.layers) + 1)
    tensors = [tensor_name(role, layer) for layer in layers for role in settings.roles]
    return Manifest(
        ids=tuple(sample.id for sample in samples),
        shard_size=settings.shard_size,
        tensors=(*tensors, *([tensor_name("last", NORM)] if "last" in settings.roles else [])),
        condition=describe_condition(knockout),
        settings=to_manifest(settings, samples, fingerprint(vlm)),
    )


def extract(
    vlm: VisionLanguageModel,
    samples: Sequence[Sample],
    settings: RunSettings,
    store: ActivationStore,
    knockout: Knockout | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> None:
    """Fill the missing shards of a store.

    A shard's samples are cut into batches in a fixed way, so a shard made after a restart equals the one that an
    undisturbed run would have made, bit by bit.

    Args:
        vlm: The model.
        samples: The samples of the store's manifest, in its order.
        settings: Template, batch size, roles, type on disk.
        store: Where to write.
        knockout: Edges to cut, none for the baseline.
        progress: Called with the number of samples done since the last call.
    """
    by_id = {sample.id: sample for sample in samples}
    for index in store.missing_shards():
        if store.has_shard(index):  # another process made it meanwhile
            progress(len(store.shard_ids(index)))
            continue
        prepared, failures = _prepare([by_id[i] for i in store.shard_ids(index)], settings.template)
        rows = _Rows(failures)
        for start in range(0, len(prepared), settings.batch_size):
            part, batch = _batch(vlm, prepared[start : start + settings.batch_size], rows.failures)
            if batch is not None:
                result = run_batch(vlm, batch, settings.roles, knockout, settings.max_new_tokens)
                rows.add(part, batch, result)
        store.write_shard(index, rows.ids, rows.columns, _tensors(rows.states, settings), rows.failures)
        progress(len(store.shard_ids(index)))


def check_knockout(
    vlm: VisionLanguageModel, samples: Sequence[Sample], settings: RunSettings, knockout: Knockout
) -> KnockoutProof:
    """Prove the knockout on the first two samples that can be prepared.

    Raises:
        KnockoutError: If it does not hold.
        ValueError: If no sample can be prepared.
    """
    ready: list[Prepared] = []
    for sample in samples:
        ready = _batch(vlm, ready + _prepare([sample], settings.template)[0], [])[0]
        if len(ready) == 2:
            break
    if not ready:
        raise ValueError("No sample could be prepared to test the knockout on: check images and questions.")
    return prove_knockout(vlm, knockout, make_batch(vlm, ready))


class _Rows:
    """Rows and failures of one shard while it is made."""

    def __init__(self, failures: list[Failure]) -> None:
        self.failures = failures
        self.ids: list[str] = []
        self.columns: list[dict[str, object]] = []
        self._states: list[np.ndarray] = []

    def add(self, part: list[Prepared], batch: Batch, result: BatchResult) -> None:
        """Keep the samples of a batch; those whose states are not finite are failures."""
        is_good = np.asarray(np.isfinite(result.states).all(axis=(1, 2, 3)))
        for i, prepared in enumerate(part):
            if is_good[i]:
                self.ids.append(prepared.sample.id)
                self.columns.append(describe_sample(prepared, batch, i, result.answers[i]))
            else:
                message = "the model's states are NaN or infinite: run it in float32 or bfloat16"
                self.failures.append(Failure(id=prepared.sample.id, stage="states", message=message))
        self._states.append(result.states[is_good])

    @property
    def states(self) -> np.ndarray:
        """States of all rows (rows, layers + 2, roles, width)."""
        return np.concatenate(self._states) if self._states else np.empty((0, 0, 0, 0), np.float32)


def _prepare(samples: Sequence[Sample], template: str) -> tuple[list[Prepared], list[Failure]]:
    prepared, failures = [], []
    for sample in samples:
        try:
            prepared.append(prepare_sample(sample, template))
        except SampleError as error:
            failures.append(Failure(id=sample.id, stage=error.stage, message=str(error)))
    return prepared, failures


def _batch(
    vlm: VisionLanguageModel, prepared: list[Prepared], failures: list[Failure]
) -> tuple[list[Prepared], Batch | None]:
    """Make a batch; samples that do not fit are left out and become failures."""
    try:
        return prepared, make_batch(vlm, prepared) if prepared else None
    except SampleError as error:
        if len(prepared) == 1:
            failures.append(Failure(id=prepared[0].sample.id, stage=error.stage, message=str(error)))
            return [], None
    fitting = [p for p in prepared if _batch(vlm, [p], failures)[1] is not None]
    return fitting, make_batch(vlm, fitting) if fitting else None


def _tensors(states: np.ndarray, settings: RunSettings) -> dict[str, np.ndarray]:
    """Name the slices of (rows, layers + 2, roles, width); float16 only where nothing overflows."""
    if not len(states):
        return {}
    if settings.dtype == "float16" and np.abs(states).max() < _LARGEST_FLOAT16:
        states = states.astype(np.float16)
    tensors = {
        tensor_name(role, layer): states[:, layer, r]
        for layer in range(states.shape[1] - 1)
        for r, role in enumerate(settings.roles)
    }
    if "last" in settings.roles:
        tensors[tensor_name("last", NORM)] = states[:, -1, settings.roles.index("last")]
    return tensors
