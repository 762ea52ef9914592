"""Whole extractions: choose the samples, prove what will be done on the real model, fill the stores."""

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from extraction.batch import make_batch
from extraction.datasets.sample import Sample
from extraction.edges import Knockout, describe_condition
from extraction.encode import Encoder, Prepared
from extraction.errors import SampleError
from extraction.knockout import cut_of
from extraction.models import VisionLanguageModel
from extraction.prefix_test import prove_prefix
from extraction.readout import ensure_readout
from extraction.run import RunOptions, Target, fill, plan_store
from extraction.selftest import KnockoutProof, prove_knockout
from extraction.settings import RunSettings
from pid_jax.storage import join_path
from pid_jax.store import ActivationStore, Manifest, describe_differences

_LOOKED_AT = 200  # samples tried to find some for the self-tests
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
        PrefixError: If questions were to share passes over images whose states depend on the question.
    """
    options = options or RunOptions()
    manifest = plan_store(vlm, samples, settings, None)
    store = _start(manifest, out, lambda: _prove_prefix(vlm, samples, settings))
    fill(vlm, samples, settings, [Target(store=store)], options)
    ensure_readout(vlm, store, settings, options.say if options.process.is_first else lambda line: None)
    return store


def extract_knockouts(
    vlm: VisionLanguageModel,
    samples: Sequence[Sample],
    settings: RunSettings,
    knockouts: Sequence[Knockout],
    out: str | Path,
    options: RunOptions | None = None,
    proved: Callable[[Knockout, KnockoutProof], None] = lambda knockout, proof: None,
) -> dict[str, ActivationStore]:
    """Extract the samples again under each knockout: one store each, in a folder named by what is cut.

    All that are missing are filled together: the model runs once over the prompts, and each knockout starts from there.

    Args:
        vlm: The model.
        samples: The samples of the baseline, in its order.
        settings: The settings of the baseline.
        knockouts: What to cut, with different names.
        out: Where the folders go.
        options: How the run goes.
        proved: Called after each self-test.

    Returns:
        The stores by name.

    Raises:
        KnockoutError: If a knockout does not do what it says; nothing is extracted then.
        ValueError: If names repeat or a window leaves the model.
    """
    _check(vlm, knockouts)
    pair = pick_samples(Encoder.of(vlm, settings.template), samples, 2)
    if not pair:
        raise ValueError("No sample could be prepared to test the knockout on: check images and questions.")
    baseline, targets = plan_store(vlm, samples, settings, None), []
    for knockout in knockouts:

        def prove(knockout: Knockout = knockout) -> dict[str, Any]:
            proof = prove_knockout(vlm, knockout, pair)
            proved(knockout, proof)
            return {"knockout": asdict(proof)}

        condition = {**describe_condition(knockout), **_about_mask(vlm, knockout, pair)}
        store = _start(replace(baseline, condition=condition), join_path(out, knockout.name), prove)
        targets.append(Target(store=store, knockout=knockout))
    fill(vlm, samples, settings, targets, options)
    return {str(target.store.manifest.condition["name"]): target.store for target in targets}


def check_circumstances(
    vlm: VisionLanguageModel, samples: Sequence[Sample], settings: RunSettings, baseline: ActivationStore
) -> None:
    """Refuse to compare a baseline with what would be made now under other circumstances.

    Raises:
        ValueError: If model, samples, versions or settings differ.
    """
    now = plan_store(vlm, samples, settings, None).settings
    if different := describe_differences(baseline.manifest.settings, now):
        raise ValueError(
            f"{baseline.path} was made under other circumstances ({different}), so a knockout made now could not be "
            "compared with it: restore them, or extract the baseline again."
        )


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
    path = answers_path(out)
    answers_only = replace(settings, roles=(), keep="all")
    manifest = plan_store(vlm, samples, answers_only, None)
    store = _start(manifest, path, lambda: _prove_prefix(vlm, samples, settings))
    fill(vlm, samples, answers_only, [Target(store=store)], options)
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


def pick_samples(encoder: Encoder, samples: Sequence[Sample], count: int) -> list[Prepared]:
    """Prepare the first samples with different questions; fewer if there are not so many."""
    found: list[Prepared] = []
    tries = 0
    for sample in samples:
        if sample.question in {prepared.sample.question for prepared in found}:
            continue
        with contextlib.suppress(SampleError):
            found.append(encoder.prepare(sample))
        tries += 1
        if len(found) == count or tries == _LOOKED_AT:
            break
    return found


def _prove_prefix(vlm: VisionLanguageModel, samples: Sequence[Sample], settings: RunSettings) -> dict[str, Any]:
    if not settings.share_images:
        return {}
    encoder = Encoder.of(vlm, settings.template)
    proof = prove_prefix(vlm, encoder, pick_samples(encoder, samples, _CANDIDATES))
    return {} if proof is None else {"prefix": asdict(proof)}


def _start(manifest: Manifest, path: str | Path, prove: Callable[[], dict[str, Any]]) -> ActivationStore:
    """Open the store of a condition; unless it is complete, prove what will be done before."""
    if ActivationStore.exists(path):
        store = ActivationStore.create(path, manifest)
        if not store.is_complete:
            prove()
        return store
    return ActivationStore.create(path, replace(manifest, evidence=prove()))


def _about_mask(vlm: VisionLanguageModel, knockout: Knockout, pair: Sequence[Prepared]) -> dict[str, Any]:
    """Tell masks of one title apart by what they cut of two samples."""
    if knockout.mask is None:
        return {}
    cut = cut_of(knockout, make_batch(vlm, pair).groups).cpu().numpy()
    return {"mask_sha256": hashlib.sha256(cut.tobytes()).hexdigest()}


def _check(vlm: VisionLanguageModel, knockouts: Sequence[Knockout]) -> None:
    names = [knockout.name for knockout in knockouts]
    if double := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"knockouts must have different names, got {sorted(double)} more than once.")
    for knockout in knockouts:
        if knockout.last >= len(vlm.layers):
            raise ValueError(f"{knockout.name} ends behind the last block {len(vlm.layers) - 1} of the model.")
