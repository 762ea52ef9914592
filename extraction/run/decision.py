"""Decisions of a model with one modality absent: the states that decide its answers, question only and image only."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from extraction.datasets.replacement import replace_part
from extraction.datasets.sample import Sample
from extraction.errors import SampleError
from extraction.model.load import VisionLanguageModel
from extraction.passes.encode import Encoder, Prepared
from extraction.passes.removal import (
    MODALITIES,
    Removal,
    describe_removal,
    extent_in,
    other_modality,
    removal_of,
)
from extraction.proof.knockout import KnockoutProof, prove_knockout
from extraction.proof.removal import RemovalProof, prove_removal
from extraction.run.fill import RunOptions, Target, fill, plan_store
from extraction.run.jobs import Reference, check_reference, plan_again, start_store
from extraction.run.settings import RunSettings, from_manifest
from extraction.run.versions import VersionCheck
from pid_jax.store import NORM, ActivationStore, Manifest, tensor_name
from pid_jax.store.folder import join_path

METHODS = ("cut", "replaced")
REPLACED_BY = "replaced_by"
"""Column of a store: id of the sample that the image or the question comes from."""
_LENDERS = 6  # samples with different images, or questions, one of which a proof exchanges


@dataclass(frozen=True, kw_only=True)
class DecisionSettings:
    """How a modality is made absent.

    Attributes:
        absent: "cut": no token reads it, see `extraction.passes.removal`; or "replaced": it is that of another sample
            of the same task, chosen by `seed`.
        draws: Number of replacements of every sample, one store each; 1 where it is cut.
        seed: Seed of the replacements.
    """

    absent: str = "cut"
    draws: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.absent not in METHODS:
            raise ValueError(f"absent must be 'cut' or 'replaced', got {self.absent!r}.")
        for name, least in (("draws", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be a whole number, such as {least}, got {value!r}.")
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}.")
        if self.absent == "cut" and self.draws > 1:
            raise ValueError(
                f"draws is for absent='replaced': a cut has no chance in it, got {self.draws}; leave it out."
            )

    @property
    def count(self) -> int:
        """Number of stores."""
        return self.draws * len(MODALITIES)


def fill_decision(
    vlm: VisionLanguageModel,
    samples: Sequence[Sample],
    baseline: ActivationStore,
    out: str | Path,
    how: DecisionSettings,
    options: RunOptions | None = None,
    proved: Callable[[Removal, KnockoutProof, RemovalProof], None] = lambda removal, knockout, proof: None,
) -> dict[str, ActivationStore]:
    """Extract the samples of a baseline again with the image absent, and with the question absent.

    The stores hold the final norm's output at the last position, and answers. `pid_jax.store.decision.read_decision`
    makes the model's own posteriors of them.

    Args:
        vlm: The model.
        samples: The samples of the baseline, in its order.
        baseline: Its store, complete; settings are its.
        out: Where the folders go.
        how: How a modality is made absent.
        options: How the run goes.
        proved: Called after each self-test of a cut.

    Returns:
        The stores by name: `question-only@cut` and `image-only@cut`, or `question-only@replaced-1` and so on.

    Raises:
        KnockoutError: If a modality is not absent as it should be, or the model's states are not those of the baseline.
        ValueError: If model, samples, images or settings are not those of the baseline, the baseline lacks the final
            norm's state, or all samples have one image or one question.
        StoreError: If the baseline is not complete, versions of packages differ and so do the numbers, or a folder
            holds a store made with other settings.
    """
    options = options or RunOptions()
    settings = from_manifest(dict(baseline.manifest.settings))
    plan_again(vlm, samples, settings, baseline)
    if tensor_name("last", NORM) not in baseline.manifest.tensors:
        raise ValueError(
            f"baseline {baseline.path} lacks the final norm's state of the role 'last', which decides answers: extract "
            "it with 'last' among the roles."
        )
    settings = replace(settings, roles=("last",), layers=())
    manifest = plan_store(vlm, samples, settings)
    reference = check_reference(vlm, samples, settings, baseline, options)
    job = _Job(vlm, tuple(samples), settings, manifest, reference, out, options)
    return job.cut(proved) if how.absent == "cut" else job.replace(how)


@dataclass(frozen=True)
class _Job:
    """What both methods share."""

    vlm: VisionLanguageModel
    samples: tuple[Sample, ...]
    settings: RunSettings
    manifest: Manifest
    reference: Reference
    out: str | Path
    options: RunOptions

    def cut(self, proved: Callable[[Removal, KnockoutProof, RemovalProof], None]) -> dict[str, ActivationStore]:
        """Fill both stores in one pass over the prompts."""
        encoder, targets = Encoder.of(self.vlm, self.settings.template), []
        for absent in MODALITIES:
            extent = extent_in(self.vlm, self._median(encoder, absent), absent)
            removal = removal_of(absent, len(self.vlm.layers), extent)

            def prove(removal: Removal = removal) -> dict[str, Any]:
                pair, lenders = self.reference.pair, self._lenders(encoder, removal.absent)
                mask = prove_knockout(self.vlm, replace(removal, extent=None), pair)
                mask = replace(mask, baseline_error=self.reference.error)
                proof = prove_removal(self.vlm, encoder, removal, lenders[0] if lenders else pair[0], lenders)
                proved(removal, mask, proof)
                return {"knockout": asdict(mask), "removal": asdict(proof)}

            targets.append(Target(store=self._start(describe_removal(removal), prove), knockout=removal))
        self._fill(self.samples, targets, self.options)
        return {str(target.store.manifest.condition["name"]): target.store for target in targets}

    def replace(self, how: DecisionSettings) -> dict[str, ActivationStore]:
        """Fill a store for each draw and modality, sequentially."""
        rows, size = frozenset(self.reference.baseline.ids.tolist()), len(self.samples)
        chosen = [(draw, absent) for draw in range(1, how.draws + 1) for absent in MODALITIES]
        conditions = [_describe_replacement(absent, how.seed, draw) for draw, absent in chosen]
        stores = [self._start(one, lambda: {"baseline_error": self.reference.error}) for one in conditions]
        there = [sum(len(store.shard_ids(i)) for i in store.present_shards()) for store in stores]
        for k, (store, (draw, absent)) in enumerate(zip(stores, chosen, strict=True)):
            replaced = replace_part(self.samples, absent, how.seed, draw, rows)
            columns = {name: {REPLACED_BY: partner} for name, partner in replaced.partners.items()}
            done = k * size + sum(there[k + 1 :])
            self._fill(replaced.samples, [Target(store=store, columns=columns)], _continued(self.options, done))
        return {str(store.manifest.condition["name"]): store for store in stores}

    def _start(self, condition: dict[str, Any], prove: Callable[[], dict[str, Any]]) -> ActivationStore:
        return start_store(replace(self.manifest, condition=condition), join_path(self.out, condition["name"]), prove)

    def _fill(self, samples: Sequence[Sample], targets: Sequence[Target], options: RunOptions) -> None:
        versions = VersionCheck(vlm=self.vlm, samples=samples, settings=self.settings, options=options)
        with versions.around(targets):
            fill(self.vlm, samples, self.settings, targets, options, self.reference.images)

    def _median(self, encoder: Encoder, group: str) -> Prepared:
        """Prepare the sample whose image, or question, has the median number of tokens."""
        baseline = self.reference.baseline
        counts = baseline.columns[f"n_{group}"]
        chosen = baseline.ids[np.argsort(counts, kind="stable")[(len(counts) - 1) // 2]]
        prepared = encoder.prepare(next(sample for sample in self.samples if sample.id == chosen))
        self.reference.images.check([prepared])
        return prepared

    def _lenders(self, encoder: Encoder, part: str) -> list[Prepared]:
        """Prepare some samples of the baseline with different images, or questions."""
        rows, found = set(self.reference.baseline.ids.tolist()), {}
        for sample in self.samples:
            key = sample.image_key if part == "image" else sample.question.strip()
            if sample.id in rows and key not in found:
                with suppress(SampleError):
                    found[key] = encoder.prepare(sample)
            if len(found) == _LENDERS:
                break
        return list(found.values())


def _describe_replacement(absent: str, seed: int, draw: int) -> dict[str, Any]:
    """Describe the condition for the manifest."""
    kept = other_modality(absent)
    return {
        "name": f"{kept}-only@replaced-{draw}",
        "label": f"{kept.capitalize()} only, {absent} of another sample (draw {draw})",
        "edges": [],
        "first": -1,
        "last": -1,
        "decision": {"kept": kept, "absent": absent, "method": "replaced", "seed": seed, "draw": draw},
    }


def _continued(options: RunOptions, done: int) -> RunOptions:
    """Count on from what is done."""
    return replace(options, progress=lambda more: options.progress(done + more))
