"""Commands of `pid-extract` that run a model: the baseline, knockouts of it, both in a demo, and a first look."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from extraction.cli.options import DataOptions, DeviceOptions, FillOptions, ModelOptions, RecordOptions, flat_options
from extraction.cli.store import info, report_accuracies, report_failures
from extraction.datasets.load import DataSettings, load_samples, select
from extraction.datasets.sample import Sample
from extraction.model.shipped import SHIPPED
from extraction.passes.edges import Knockout, parse_edges, parse_windows
from extraction.run.processes import Process
from extraction.run.settings import ModelSettings, RunSettings, from_manifest
from extraction.tiny.commands import make_gqa
from pid_jax.runtime.console import err, out, progress_bar, resumable, working
from pid_jax.runtime.files import check_folder
from pid_jax.store import ActivationStore
from pid_jax.store.folder import LocalFolder, open_folder

if TYPE_CHECKING:
    from extraction.model.checks import Checked
    from extraction.model.load import VisionLanguageModel
    from extraction.passes.removal import Removal
    from extraction.proof.knockout import KnockoutProof
    from extraction.proof.removal import RemovalProof
    from extraction.proof.replacement import ReplacementProof
    from extraction.run.fill import RunOptions

Edges = Annotated[str, typer.Option(help="From-to pairs of token groups, with commas.")]


@flat_options
def run(
    out_dir: Annotated[
        str, typer.Option("--out", help="The store: a folder or a URL; an unfinished store is continued.")
    ],
    which: ModelOptions,
    data: DataOptions,
    record: RecordOptions,
    how: FillOptions,
    where: DeviceOptions,
) -> None:
    """Extract the baseline: states of every layer, answers, token counts."""
    _check_out(out_dir)
    chosen = data.settings()
    settings = record.settings(which.settings(), chosen)
    everything = replace(chosen, per_task=None, one_per_image=False, limit=None)
    samples = load_samples(everything if settings.keep == "correct" else chosen)
    process = Process.from_environment()
    vlm = _load(settings.model, where, process)

    from extraction.model.prompts import resolve_template
    from extraction.run.jobs import answers_path, extract_baseline, keep_correct

    settings = replace(settings, template=resolve_template(settings.template, vlm.processor, vlm.family))
    extraction = _Extraction(vlm, settings, process, how)
    if settings.keep == "correct":
        with extraction.showing(answers_path(out_dir), "answers", len(samples)) as options:
            samples = keep_correct(vlm, samples, settings, out_dir, options)
        if process.is_first:
            report_failures(ActivationStore.open(answers_path(out_dir)))
        samples = _select_right(samples, chosen)
    with extraction.showing(out_dir, "baseline", len(samples)) as options:
        store = extract_baseline(vlm, samples, settings, out_dir, options)
    extraction.report(store)


@flat_options
def knockout(
    baseline: Annotated[str, typer.Option(help="Store of the baseline: model, samples and settings are its.")],
    out_dir: Annotated[str, typer.Option("--out", help="Folder for the stores, one a window, named by what is cut.")],
    how: FillOptions,
    where: DeviceOptions,
    edges: Edges = "image-question",
    windows: Annotated[str, typer.Option(help="'all', ranges such as '0-2,5-9', or 'sliding:7'.")] = "all",
    heads: Annotated[
        list[str] | None,
        typer.Option(help="Only these heads, block.head: '12.3,14.*', '12-14.0-3'; repeatable, one store each."),
    ] = None,
    control: Annotated[
        str, typer.Option(help="none, or random: cut as many other edges of each sample as well.")
    ] = "none",
    draws: Annotated[int, typer.Option(help="With --control random: controls of each knockout, one store each.")] = 5,
    replace_by: Annotated[
        str | None,
        typer.Option("--replace", help="Instead of a cut: image states become their mean, or noise, from windows on."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of random controls, and of noise.")] = 0,
) -> None:
    """Extract again with attention edges cut: one store a window or set of heads, each proved on real samples first."""
    _check_out(out_dir)
    plan = _KnockoutPlan(parse_edges(edges), windows, tuple(heads or ()), control, draws, replace_by, seed)
    base = ActivationStore.open(baseline)
    settings = from_manifest(dict(base.manifest.settings))
    samples = _samples_of(base, settings)
    process = Process.from_environment()
    vlm = _load(settings.model, where, process)

    from extraction.run.jobs import extract_knockouts

    cuts = plan.knockouts(len(vlm.layers), vlm.heads)
    extraction = _Extraction(vlm, settings, process, how)
    with extraction.showing(out_dir, f"{len(cuts)} knockouts", len(samples) * len(cuts)) as options:
        stores = extract_knockouts(vlm, samples, base, cuts, out_dir, options, extraction.tell_proof)
    extraction.compare(base, list(stores.values()))


@flat_options
def decision(
    baseline: Annotated[str, typer.Option(help="Store of the baseline: model, samples and settings are its.")],
    out_dir: Annotated[str, typer.Option("--out", help="Folder for the stores, named by what is kept.")],
    how: FillOptions,
    where: DeviceOptions,
    absent: Annotated[str, typer.Option(help="cut, or replaced by that of another sample of the task.")] = "cut",
    draws: Annotated[int, typer.Option(help="With --absent replaced: stores of each modality.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the replacements.")] = 0,
) -> None:
    """Extract what decides the answers from the question alone and from the image alone: two stores, or two a draw."""
    _check_out(out_dir)
    base = ActivationStore.open(baseline)
    settings = from_manifest(dict(base.manifest.settings))

    from extraction.run.decision import DecisionSettings, fill_decision

    chosen = DecisionSettings(absent=absent, draws=draws, seed=seed)
    samples = _samples_of(base, settings)
    process = Process.from_environment()
    vlm = _load(settings.model, where, process)
    extraction = _Extraction(vlm, settings, process, how)
    with extraction.showing(out_dir, f"{chosen.count} conditions", len(samples) * chosen.count) as options:
        stores = fill_decision(vlm, samples, base, out_dir, chosen, options, extraction.tell_removal)
    extraction.compare(base, list(stores.values()))


@flat_options
def check(
    model: Annotated[str, typer.Argument(help="Folder or hub id of a model, or tiny, tiny-gqa-8, tiny-gqa-6.")],
    where: DeviceOptions,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")] = None,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16: precision of the model.")] = "auto",
    attn_implementation: Annotated[str, typer.Option(help="sdpa or eager.")] = "sdpa",
    template: Annotated[str, typer.Option(help="Prompt template, as for `run`.")] = "plain",
) -> None:
    """Load a model, report what decides its prompts and pixels, and run its self-tests; exit code 1 if one fails."""
    settings = ModelSettings(name=model, revision=revision, dtype=dtype, attn_implementation=attn_implementation)
    vlm, checks = _load_and_look(settings, where, Process())

    from extraction.model.prompts import resolve_template
    from extraction.proof.model_check import check_model

    with working(f"Testing {model}"):
        checks += check_model(vlm, resolve_template(template, vlm.processor, vlm.family))
    precision = str(vlm.model.dtype).removeprefix("torch.")
    title = f"{vlm.family.title}, {len(vlm.layers)} blocks of width {vlm.width}, {precision} on {vlm.device}"
    width = max(len(one.subject) for one in checks)
    out.print(f"  {'model':<{width}}  {title}")
    for one in checks:
        out.print(f"{'x' if one.is_failed else '!' if one.is_notable else ' '} {one.subject:<{width}}  {one.finding}")
    if failed := [one.subject for one in checks if one.is_failed]:
        raise ValueError(f"{model} cannot be extracted as it is; failed: {', '.join(failed)}.")


def gqa_demo(
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for gqa/ and stores/; what is there is reused.")],
    model: Annotated[str, typer.Option(help="tiny-gqa-8 or tiny-gqa-6.")] = "tiny-gqa-8",
    per_task: Annotated[int, typer.Option(help="Questions a task at most.")] = 1000,
    edges: Edges = "image-question",
    windows: Annotated[str, typer.Option(help="Windows of blocks, as for `knockout`.")] = "all,sliding:3",
) -> None:
    """Generate a folder in the layout of GQA, and extract a small LLaVA on its six tasks, whole and under knockouts."""
    data, stores = out_dir / "gqa", out_dir / "stores"
    baseline = str(stores / "baseline")
    make_gqa(data)
    run(out_dir=baseline, model=model, gqa=data, per_task=per_task, max_new_tokens=2)
    knockout(baseline=baseline, out_dir=str(stores), edges=edges, windows=windows)
    info(baseline)
    out.print(f"Next: pid-jax study --store {baseline} --knockout ..., or ActivationStore.open in Python.")


@dataclass(frozen=True)
class _KnockoutPlan:
    """Options of `knockout` that say what is done; those that exclude each other are refused."""

    edges: tuple[tuple[str, str], ...]
    windows: str
    heads: tuple[str, ...]
    control: str
    draws: int
    replace_by: str | None
    seed: int

    def __post_init__(self) -> None:
        if self.control not in ("none", "random"):
            raise ValueError(f"--control must be none or random, got {self.control!r}.")
        if self.replace_by is not None and (self.heads or self.control != "none"):
            raise ValueError("--replace leaves attention as it is: leave out --heads and --control.")
        if self.heads and self.windows != "all":
            raise ValueError(f"--heads has its own blocks: leave out --windows, got {self.windows!r}.")

    def knockouts(self, layers: int, heads: int) -> list[Knockout]:
        """List the knockouts of a model with so many blocks and heads per block."""
        from extraction.passes.control import with_controls
        from extraction.passes.heads import parse_heads
        from extraction.passes.replacement import image_replacement

        windows = parse_windows(self.windows, layers)
        if self.replace_by is not None:
            firsts = sorted({first for first, _, _ in windows})
            return [image_replacement(self.replace_by, first=one, blocks=layers, seed=self.seed) for one in firsts]
        chosen = [parse_heads(one, layers, heads) for one in self.heads]
        cuts = [Knockout(edges=self.edges, heads=one) for one in chosen] or [
            Knockout(edges=self.edges, first=first, last=last, is_all=is_all) for first, last, is_all in windows
        ]
        return with_controls(cuts, self.draws, self.seed) if self.control == "random" else cuts


def _check_out(out_dir: str) -> None:
    """Refuse a folder that cannot be written to before a model is loaded; a URL shows when it is written to."""
    folder = open_folder(out_dir)
    if isinstance(folder, LocalFolder):
        check_folder(folder.path, "--out")


def _load_and_look(
    model: ModelSettings, where: DeviceOptions, process: Process
) -> "tuple[VisionLanguageModel, list[Checked]]":
    """Load a model and look it over."""
    if process.is_first and process.world_size > 1:
        err.print(f"{process.world_size} processes, started by {process.launcher}; process 0 reports for all.")
    with working(f"Loading {model.name}") if process.is_first else nullcontext():
        import torch
        from transformers.utils import logging

        from extraction.model.families import UnknownFamilyError, register_family
        from extraction.model.family_file import read_family
        from extraction.model.load import load_model
        from extraction.proof.preflight import look_over

        logging.disable_progress_bar()
        if where.family is not None:
            register_family(read_family(where.family))
        device = where.device
        if not (device or where.device_map or process.local_rank is None) and torch.cuda.is_available():
            device = f"cuda:{process.local_rank % torch.cuda.device_count()}"
        try:
            vlm = load_model(
                **vars(model), device=device, device_map=where.device_map, local_files_only=where.local_files_only
            )
        except UnknownFamilyError as error:
            if error.report and process.is_first:
                out.print(error.report)
            raise
        return vlm, look_over(vlm)


def _load(model: ModelSettings, where: DeviceOptions, process: Process) -> "VisionLanguageModel":
    """Load a model, and say what is not as most checkpoints have it."""
    vlm, checks = _load_and_look(model, where, process)
    if process.is_first:
        from extraction.proof.preflight import say_notable

        say_notable(checks, err.print)
    return vlm


def _select_right(samples: list[Sample], data: DataSettings) -> list[Sample]:
    """Choose among the samples that were answered correctly."""
    there = {sample.task for sample in samples}
    if lacking := [task for task in data.tasks or () if task not in there]:
        raise ValueError(f"No question of {', '.join(lacking)} was answered correctly: leave that out of --tasks.")
    return select(samples, data)


def _samples_of(base: ActivationStore, settings: RunSettings) -> list[Sample]:
    everything = replace(settings.data, per_task=None, one_per_image=False, limit=None)
    by_id = {sample.id: sample for sample in load_samples(everything)}
    gone = [i for i in base.manifest.ids if i not in by_id]
    if gone:
        raise ValueError(
            f"{len(gone)} samples of {base.path} are no longer in its data (first {gone[0]!r}): restore the data."
        )
    return [by_id[i] for i in base.manifest.ids]


class _Extraction:
    """What the commands share while they extract: options, progress and reports; only the first process speaks."""

    def __init__(self, vlm: "VisionLanguageModel", settings: RunSettings, process: Process, how: FillOptions) -> None:
        self._settings, self._process, self._how = settings, process, how
        self._workers = (0 if vlm.device.type == "cpu" else 4) if how.num_workers is None else how.num_workers

    @contextmanager
    def showing(self, path: str, what: str, total: int) -> Iterator["RunOptions"]:
        """Show the progress of an extraction, if there is anything to do."""
        from extraction.run.fill import RunOptions
        from extraction.tiny.training import single_thread

        with (
            resumable(
                lambda: f"Shards that are complete in {path} are kept: the same command resumes.",
                is_shown=self._process.is_first,
            ),
            progress_bar(f"Extracting {what}", total, is_shown=self._process.is_first) as advance,
        ):
            seen = -1

            def progress(done: int) -> None:
                nonlocal seen
                if seen < 0 < done:
                    end = "; nothing to do" if done == total else ""
                    self._tell(f"{path}: {done} of {total} samples are there and reused{end}.")
                if done > max(seen, 0):
                    advance(done - max(seen, 0))
                seen = done

            with single_thread() if self._settings.model.name in SHIPPED else nullcontext():
                yield RunOptions(
                    workers=self._workers,
                    max_errors=0 if self._how.strict else self._how.max_errors,
                    strict_versions=self._how.strict_versions,
                    process=self._process,
                    progress=progress,
                    say=err.print,
                )

    def tell_proof(self, cut: Knockout, proof: "KnockoutProof | ReplacementProof") -> None:
        """Say what a self-test measured."""
        same = "" if proof.baseline_error is None else f"; states are the baseline's to {proof.baseline_error:.0e}"
        from extraction.proof.replacement import ReplacementProof

        if isinstance(proof, ReplacementProof):
            self._tell(
                f"{cut.name}: proved on real samples. Image states that enter block {cut.first} have their means to "
                f"{proof.mean_error:.0e}, all others are unchanged; the pass from there on agrees with the whole one "
                f"to {proof.tail_error:.0e}{same}; the model is restored bit by bit."
            )
            return
        same += "" if proof.other_heads is None else "; weights of other heads are unchanged"
        self._tell(
            f"{cut.name}: proved on real samples. Weight on cut edges {proof.weight_cut:.2f} before, "
            f"{proof.weight_left:g} after; sdpa and eager logits agree to {proof.agreement:.0e}; the pass from block "
            f"{cut.first} on agrees with the whole one to {proof.tail_error:.0e}{same}; the model is restored bit "
            "by bit."
        )

    def tell_removal(self, removal: "Removal", mask: "KnockoutProof", proof: "RemovalProof") -> None:
        """Say what the self-tests of a modality's removal measured."""
        one, other = proof.samples
        self._tell(
            f"{removal.name}: proved on real samples. Weight on {removal.absent} tokens {mask.weight_cut:.2f} before, "
            f"{mask.weight_left:g} after; {removal.absent} of {other} instead of that of {one} changes the last state "
            f"by {proof.effect:.0e} before, {proof.left:.0e} after; {removal.absent} counts as {removal.extent} "
            "positions."
        )

    def report(self, store: ActivationStore) -> None:
        """List failures and accuracies."""
        if not self._process.is_first:
            return
        report_failures(store)
        for task in dict.fromkeys(store.columns["task"]):
            columns = store.columns
            has_answer = (columns["task"] == task) & (columns["gold"] != "")
            count = int(has_answer.sum())
            correct = (
                f"accuracy {columns['correct'][has_answer].mean():.4f}" if count else "no gold answers, no accuracy;"
            )
            out.print(f"{store.path}: {task}: {correct} on {count} questions.")

    def compare(self, baseline: ActivationStore, stores: Sequence[ActivationStore]) -> None:
        """List failures, and the accuracies of all conditions."""
        if self._process.is_first:
            for store in stores:
                report_failures(store)
            report_accuracies([baseline, *stores])

    def _tell(self, line: str) -> None:
        if self._process.is_first:
            out.print(line)
