"""Whole extractions: choose the samples, prove what will be done on the real model, fill the stores."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from extraction.datasets.sample import Sample
from extraction.model.load import VisionLanguageModel
from extraction.passes.batch import make_batch
from extraction.passes.edges import BASELINE, Knockout, describe_condition
from extraction.passes.encode import Encoder, Prepared, pick_samples
from extraction.passes.heads import check_heads
from extraction.passes.knockout import cut_of
from extraction.passes.replacement import Replacement
from extraction.proof.knockout import KnockoutProof, prove_knockout
from extraction.proof.parity import prove_parity
from extraction.proof.prefix import prove_prefix
from extraction.proof.replacement import ReplacementProof, prove_replacement
from extraction.proof.stored import prove_baseline
from extraction.run.fill import RunOptions, Target, fill, layers_of, plan_store
from extraction.run.readout import ensure_readout
from extraction.run.same_images import KnownImages
from extraction.run.settings import RunSettings, from_manifest
from extraction.run.versions import VersionCheck
from pid_jax.store import ActivationStore, Manifest, describe_differences
from pid_jax.store.folder import join_path

_CANDIDATES = 6  # of which one pair must have finite states


def extract_baseline(
    vlm: VisionLanguageModel,
    samples: Sequence[Sample],
    settings: RunSettings,
    out: str | Path,
    options: RunOptions | None = None,
) -> ActivationStore:
    """Extract the states of all samples into one store, or go on with one that was begun.

    The model's readout is written beside them (docs/store.md), also into a store that is complete but for it.

    Raises:
        StoreError: If the store was made with other settings, or with other versions of packages and other numbers.
        ParityError: If states are not those of `output_hidden_states`.
        PrefixError: If questions were to share passes over images whose states depend on the question.
    """
    options, images = options or RunOptions(), None
    if settings.keep == "correct":  # what was answered is what is extracted
        images = KnownImages(ActivationStore.open(answers_path(out)), samples)
    store = _extract_plain(vlm, samples, settings, out, options, images)
    ensure_readout(vlm, store, settings, options.say if options.process.is_first else lambda line: None)
    return store


def extract_knockouts(
    vlm: VisionLanguageModel,
    samples: Sequence[Sample],
    baseline: ActivationStore,
    knockouts: Sequence[Knockout],
    out: str | Path,
    options: RunOptions | None = None,
    proved: Callable[[Knockout, KnockoutProof | ReplacementProof], None] = lambda knockout, proof: None,
) -> dict[str, ActivationStore]:
    """Extract the samples of a baseline again under each knockout: one store each, in a folder named by what is cut.

    All that are missing are filled together: the model runs once over the prompts, and each knockout starts from there.

    Args:
        vlm: The model.
        samples: The samples of the baseline, in its order.
        baseline: Its store, complete; knockouts have its settings.
        knockouts: What to cut, with different names.
        out: Where the folders go.
        options: How the run goes.
        proved: Called after each self-test.

    Returns:
        The stores by name.

    Raises:
        KnockoutError: If a knockout does not do what it says, or the model's states are not those of the baseline;
            nothing is extracted then.
        ValueError: If names repeat, a window leaves the model, or model, samples, images or settings are not those of
            the baseline.
        StoreError: If the baseline is not complete, or versions of packages differ and so do the numbers.
    """
    _check(vlm, knockouts)
    options = options or RunOptions()
    settings = from_manifest(dict(baseline.manifest.settings))
    manifest, targets = plan_again(vlm, samples, settings, baseline), []
    reference = check_reference(vlm, samples, settings, baseline, options)
    pair = reference.pair
    for knockout in knockouts:

        def prove(knockout: Knockout = knockout) -> dict[str, Any]:
            is_replaced = isinstance(knockout, Replacement)
            found = prove_replacement(vlm, knockout, pair) if is_replaced else prove_knockout(vlm, knockout, pair)
            proof = replace(found, baseline_error=reference.error)
            proved(knockout, proof)
            return {"replacement" if is_replaced else "knockout": asdict(proof)}

        condition = {**describe_condition(knockout), **_about_mask(vlm, knockout, pair)}
        store = start_store(replace(manifest, condition=condition), join_path(out, knockout.name), prove)
        targets.append(Target(store=store, knockout=knockout))
    with reference.versions.around(targets):
        fill(vlm, samples, settings, targets, options, reference.images)
    return {str(target.store.manifest.condition["name"]): target.store for target in targets}


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The baseline that further conditions are compared with.

    Attributes:
        baseline: Its store.
        pair: Two of its samples with different questions, to test on; one if there are not so many.
        images: What its images must be.
        versions: Checks stores made with other versions of packages.
    """

    baseline: ActivationStore
    pair: Sequence[Prepared]
    images: KnownImages
    versions: VersionCheck

    @cached_property
    def error(self) -> float | None:
        """Largest difference of a state of `pair`, made again, from the baseline's; None without states.

        Raises:
            KnockoutError: If the model does not make the baseline's states.
        """
        self.versions.check(Target(store=self.baseline), is_reference=True)
        return prove_baseline(self.versions.vlm, self.pair, self.baseline)


def check_reference(
    vlm: VisionLanguageModel,
    samples: Sequence[Sample],
    settings: RunSettings,
    baseline: ActivationStore,
    options: RunOptions,
) -> Reference:
    """Check that a baseline is complete, its images are unchanged, and its versions are acceptable.

    Raises:
        ValueError: If no sample can be prepared, or the content of an image has changed.
        StoreError: If the baseline is not complete, or other versions of packages made it and the numbers differ.
    """
    images, there = KnownImages(baseline, samples), set(baseline.ids.tolist())
    pair = pick_samples(Encoder.of(vlm, settings.template), [s for s in samples if s.id in there], 2)
    if not pair:
        raise ValueError("No sample of the baseline could be prepared to test on: check images and questions.")
    images.check(pair)
    versions = VersionCheck(vlm=vlm, samples=samples, settings=settings, options=options)
    versions.check(Target(store=baseline))
    return Reference(baseline=baseline, pair=pair, images=images, versions=versions)


def plan_again(
    vlm: VisionLanguageModel, samples: Sequence[Sample], settings: RunSettings, baseline: ActivationStore
) -> Manifest:
    """Plan the store of a baseline again; refuse where it would be another one now."""
    if (name := baseline.manifest.condition.get("name")) != BASELINE:
        raise ValueError(f"baseline {baseline.path} holds states under {name!r}: give the store without a knockout.")
    manifest = plan_store(vlm, samples, settings)
    if different := describe_differences(baseline.manifest.deciding_settings, manifest.deciding_settings):
        raise ValueError(
            f"{baseline.path} was made under other circumstances ({different}), so a knockout made now could not be "
            "compared with it: restore them, or extract the baseline again."
        )
    return manifest


def keep_correct(
    vlm: VisionLanguageModel,
    samples: Sequence[Sample],
    settings: RunSettings,
    out: str | Path,
    options: RunOptions | None = None,
) -> list[Sample]:
    """Answer all samples, and return those that are answered correctly.

    The answers are a store of their own, without states, beside the one that is to come: this stage is as safe to kill
    as the other, and shared by several processes.

    Raises:
        ValueError: If no answer is correct.
    """
    path, answers_only = answers_path(out), replace(settings, roles=(), keep="all")
    store = _extract_plain(vlm, samples, answers_only, path, options or RunOptions())
    good = set(store.ids[store.columns["correct"].astype(bool)].tolist()) if len(store.ids) else set()
    if not good:
        raise ValueError(
            f"keep='correct' leaves nothing: none of {len(samples)} answers is correct (see {path}). Check the "
            "template, or the gold answers."
        )
    return [sample for sample in samples if sample.id in good]


def answers_path(out: str | Path) -> str:
    """Say where the answers that `keep_correct` looks at are stored."""
    return f"{str(out).rstrip('/')}.answers"


def _extract_plain(
    vlm: VisionLanguageModel,
    samples: Sequence[Sample],
    settings: RunSettings,
    path: str | Path,
    options: RunOptions,
    images: KnownImages | None = None,
) -> ActivationStore:
    """Extract without a knockout; states, and that questions can share passes over images, are proved first."""

    def prove() -> dict[str, Any]:
        encoder = Encoder.of(vlm, settings.template, settings.roles)
        candidates = pick_samples(encoder, samples, _CANDIDATES)
        proofs: dict[str, Any] = {}
        if settings.roles:
            try:
                proofs["parity"] = prove_parity(vlm, candidates, settings.roles, layers_of(vlm, settings))
            except torch.OutOfMemoryError:  # output_hidden_states takes memory that the extraction does not
                options.say("States were not compared with output_hidden_states, for which the device lacks memory.")
        if settings.share_images:
            proofs["prefix"] = prove_prefix(vlm, encoder, candidates)
        return {name: asdict(proof) for name, proof in proofs.items() if proof is not None}

    targets = [Target(store=start_store(plan_store(vlm, samples, settings), path, prove))]
    with VersionCheck(vlm=vlm, samples=samples, settings=settings, options=options).around(targets):
        fill(vlm, samples, settings, targets, options, images)
    return targets[0].store


def start_store(manifest: Manifest, path: str | Path, prove: Callable[[], dict[str, Any]]) -> ActivationStore:
    """Open the store of a condition; unless it is complete, prove what will be done before."""
    if not ActivationStore.exists(path):
        return ActivationStore.create(path, replace(manifest, evidence=prove()))
    store = ActivationStore.create(path, manifest)
    if not store.is_complete:
        prove()
    return store


def _about_mask(vlm: VisionLanguageModel, knockout: Knockout, pair: Sequence[Prepared]) -> dict[str, Any]:
    """Tell masks of one title apart by what they cut of two samples."""
    if knockout.mask is None or isinstance(knockout, Replacement):
        return {}
    cut = cut_of(knockout, make_batch(vlm, pair).groups).cpu().numpy()
    return {"mask_sha256": hashlib.sha256(cut.tobytes()).hexdigest()}


def _check(vlm: VisionLanguageModel, knockouts: Sequence[Knockout]) -> None:
    if not knockouts:
        raise ValueError("knockouts is empty: give at least one Knockout.")
    names = [knockout.name for knockout in knockouts]
    if double := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"knockouts must have different names, got {sorted(double)} more than once.")
    for knockout in knockouts:
        if knockout.last >= len(vlm.layers):
            raise ValueError(f"{knockout.name} ends behind the last block {len(vlm.layers) - 1} of the model.")
        check_heads(knockout.heads, len(vlm.layers), vlm.heads)
