"""Stores that other versions of packages made: rows made again decide whether they are continued (decision 0027)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from extraction.datasets.sample import Sample
from extraction.model.load import VisionLanguageModel
from extraction.passes.encode import Encoder, pick_samples
from extraction.proof.stored import compare_rows
from extraction.run.fill import RunOptions, Target
from extraction.run.same_images import KnownImages
from extraction.run.settings import RunSettings, package_versions
from pid_jax.store import ActivationStore, StoreError
from pid_jax.store.read import read_own_brief

_COMPARED = 2  # rows, of one shard for each set of versions

Versions = frozenset[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class VersionCheck:
    """Checks the stores of one run against the packages installed now.

    Attributes:
        vlm: The model.
        samples: Samples of the stores.
        settings: Settings of the run.
        options: `strict_versions` refuses instead of comparing; `say` tells what was found.
    """

    vlm: VisionLanguageModel
    samples: Sequence[Sample]
    settings: RunSettings
    options: RunOptions
    _proved: set[tuple[Path | str, Versions]] = field(default_factory=set)

    @contextmanager
    def around(self, targets: Sequence[Target]) -> Iterator[None]:
        """Check stores before they are filled and, as several processes may fill them, again after.

        Raises:
            StoreError: As `check`.
        """
        to_fill = [target for target in targets if not target.store.is_complete]
        for target in targets:
            self.check(target)
        yield
        for target in to_fill:
            self.check(target)

    def check(self, target: Target, *, is_reference: bool = False) -> None:
        """Make stored rows again for each set of versions that is not the present one; nothing if there is none.

        A complete store of a single set is left alone, unless it is the reference for rows that are to be made, or
        `strict_versions` is set. One of several sets is checked each time, as a run may have ended before the proof or
        been refused by it.

        Raises:
            StoreError: If rows differ by more than rounding, none can be made again, or `strict_versions` is set.
            ValueError: If the content of an image has changed.
        """
        groups = _shards_by_versions(target.store)
        is_uniform = len(groups) == 1 and target.store.is_complete
        if is_uniform and not is_reference and not self.options.strict_versions:
            return
        for versions, shards in groups.items():
            different = describe_versions(dict(versions), package_versions())
            if not different or (target.store.path, versions) in self._proved:
                continue
            if self.options.strict_versions:
                raise StoreError(
                    f"{target.store.path} holds shards made with other versions ({different}), which strict_versions "
                    "(--strict-versions) refuses: install those versions, or leave it out, so that rows made again "
                    "decide."
                )
            self._prove(target, shards, different)
            self._proved.add((target.store.path, versions))

    def _prove(self, target: Target, shards: Sequence[int], different: str) -> None:
        store = target.store
        there = {sample for index in shards for sample in store.header(index).ids}
        if not there:
            return
        encoder = Encoder.of(self.vlm, self.settings.template)
        rows = pick_samples(encoder, [sample for sample in self.samples if sample.id in there], _COMPARED)
        if not rows:
            raise StoreError(
                f"{store.path} holds shards made with other versions ({different}), and no sample of them can be "
                "prepared to compare: restore their images, or install those versions."
            )
        KnownImages(store, self.samples).check(rows)
        found = compare_rows(self.vlm, rows, store, target.knockout)
        if found.problem:
            places = ", ".join(str(store.shard_path(index)) for index in shards[:3])
            raise StoreError(
                f"{store.path} holds shards made with other versions ({different}), and the model does not make their "
                f"rows with the present ones: {found.problem}. Install those versions, extract into another folder, or "
                f"delete their shards ({places}{' ...' if len(shards) > 3 else ''}) to make them again."
            )
        if self.options.process.is_first:
            names = ", ".join(repr(row.sample.id) for row in rows)
            states = ""
            if found.error is not None:
                states = f" and states equal to {found.error:.0e} (rounding explains {found.tolerance:.0e})"
            self.options.say(
                f"{store.path}: {len(shards)} shards were made with other versions ({different}). Made again, samples "
                f"{names} have {found.equal_answers} of {len(rows)} answers equal{states}, so the store is accepted; "
                "every shard records its own versions."
            )


def describe_versions(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Return in one line which packages, of those that both record, have other versions; empty if none have."""
    return ", ".join(
        f"{name} {old[name]}, now {new[name]}" for name in sorted({*old} & {*new}) if old[name] != new[name]
    )


def _shards_by_versions(store: ActivationStore) -> dict[Versions, list[int]]:
    """Sort the shards that exist by the versions that made them."""
    there = store.present_shards()
    found: dict[int, Mapping[str, str]] = {}
    store.folder.each(
        lambda index: found.update({index: read_own_brief(store.folder, store.manifest, index).versions}), there
    )
    groups: dict[Versions, list[int]] = {}
    for index in there:
        groups.setdefault(frozenset((found[index] or store.manifest.begun_with).items()), []).append(index)
    return groups
