"""Commands of `pid-extract` that run a model: the baseline, and knockouts of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from extraction.cli.store import report_accuracies, report_failures
from extraction.datasets.load import DataSettings, load_samples, select
from extraction.datasets.sample import Sample
from extraction.model.shipped import SHIPPED
from extraction.passes.edges import Knockout, parse_edges, parse_windows
from extraction.run.processes import Process
from extraction.run.settings import ModelSettings, RunSettings, from_manifest, parse_layers
from pid_jax.runtime.console import err, out, parse_names, progress_bar, working
from pid_jax.runtime.files import check_folder
from pid_jax.store import ActivationStore
from pid_jax.store.folder import LocalFolder, open_folder
from pid_jax.store.manifest import GROUPS

if TYPE_CHECKING:
    from extraction.model.checks import Checked
    from extraction.model.load import VisionLanguageModel
    from extraction.proof.knockout import KnockoutProof
    from extraction.run.fill import RunOptions

Out = Annotated[str, typer.Option("--out", help="The store: a folder or a URL; an unfinished store is continued.")]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda:1, ...; the launcher's choice, or the first, if not given.")
]
DeviceMap = Annotated[str | None, typer.Option(help="auto, balanced, ...: spread the model, by accelerate.")]
Local = Annotated[bool, typer.Option("--local-files-only", help="Never ask the Hugging Face hub.")]
Workers = Annotated[int | None, typer.Option(help="Processes that decode images; 0 without an accelerator, else 4.")]
MaxErrors = Annotated[int | None, typer.Option(help="Stop after more failures than this; never if not given.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first failure: --max-errors 0.")]


def run(
    out_dir: Out,
    model: Annotated[
        str, typer.Option(help="Folder or hub id of a model, or tiny, tiny-gqa-8, tiny-gqa-6, which ship with pid_jax.")
    ] = "tiny",
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")] = None,
    gqa: Annotated[Path | None, typer.Option(help="Folder of GQA as downloaded: questions and images.")] = None,
    csv: Annotated[list[Path] | None, typer.Option(help="GQA questions as CSV, with --images; repeatable.")] = None,
    jsonl: Annotated[Path | None, typer.Option(help="Samples, one {id, image, question, answer, task} a line.")] = None,
    dataset: Annotated[Path | None, typer.Option(help="Folder of GQA as a Hugging Face data set.")] = None,
    easy_vqa: Annotated[bool, typer.Option("--easy-vqa", help="Use easy-VQA.")] = False,
    images: Annotated[Path | None, typer.Option(help="Folder that all images of --jsonl, --csv, --gqa are in.")] = None,
    split: Annotated[
        str | None, typer.Option(help="Split; val_balanced of GQA, test of easy-VQA if not given.")
    ] = None,
    tasks: Annotated[str, typer.Option(help="'all' or task names with commas.")] = "all",
    per_task: Annotated[int | None, typer.Option(help="Samples a task at most; all if not given.")] = None,
    one_per_image: Annotated[
        bool, typer.Option("--one-per-image", help="One sample of each task and image only: samples are independent.")
    ] = False,
    limit: Annotated[int | None, typer.Option(help="The first samples of that choice only; all if not given.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the choice of samples.")] = 0,
    keep: Annotated[
        str, typer.Option(help="all, or correct: answer all first, then choose among the right answers.")
    ] = "all",
    template: Annotated[
        str, typer.Option(help="plain, vicuna_v1, mistral, llama_3, chatml, chat, or a text with <image> and {q}.")
    ] = "plain",
    roles: Annotated[
        str, typer.Option(help=f"Token groups to record, of {', '.join(GROUPS)}.")
    ] = "image,question,last",
    layers: Annotated[
        str, typer.Option(help="'all', or numbers with commas: 0 embeddings, l block l, -1 the last block.")
    ] = "all",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16: precision of the model.")] = "auto",
    store_dtype: Annotated[str, typer.Option(help="float32 or float16: precision on disk.")] = "float32",
    attn_implementation: Annotated[str, typer.Option(help="sdpa or eager.")] = "sdpa",
    batch_size: Annotated[int, typer.Option(help="Samples a forward pass; halved where memory runs out.")] = 64,
    shard_size: Annotated[int, typer.Option(help="Samples a shard.")] = 128,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer.")] = 8,
    share_images: Annotated[
        bool, typer.Option("--share-images/--no-share-images", help="One pass over an image for all its questions.")
    ] = True,
    num_workers: Workers = None,
    max_errors: MaxErrors = None,
    strict: Strict = False,
    device: Device = None,
    device_map: DeviceMap = None,
    local_files_only: Local = False,
) -> None:
    """Extract the baseline: states of every layer, answers, token counts."""
    _check_out(out_dir)
    reader, path = _data_source(gqa=gqa, csv=csv, jsonl=jsonl, dataset=dataset, easy_vqa=easy_vqa)
    data = DataSettings(
        reader=reader,
        path=path,
        images=None if images is None else str(images.resolve()),
        split=split,
        tasks=parse_names(tasks),
        per_task=per_task,
        seed=seed,
        one_per_image=one_per_image,
        limit=limit,
    )
    settings = RunSettings(
        model=ModelSettings(name=model, revision=revision, dtype=dtype, attn_implementation=attn_implementation),
        data=data,
        template=template,
        batch_size=batch_size,
        shard_size=shard_size,
        max_new_tokens=max_new_tokens,
        dtype=store_dtype,
        roles=tuple(name.strip() for name in roles.split(",")),
        layers=parse_layers(layers),
        share_images=share_images,
        keep=keep,
    )
    samples = load_samples(replace(data, per_task=None, one_per_image=False, limit=None) if keep == "correct" else data)
    process = Process.from_environment()
    vlm = _load(settings.model, device, device_map, local_files_only, process)

    from extraction.model.prompts import resolve_template
    from extraction.run.jobs import answers_path, extract_baseline, keep_correct

    settings = replace(settings, template=resolve_template(template, vlm.processor, vlm.family))
    how = _Extraction(vlm, settings, process, num_workers, 0 if strict else max_errors)
    if keep == "correct":
        with how.showing(answers_path(out_dir), "answers", len(samples)) as options:
            samples = keep_correct(vlm, samples, settings, out_dir, options)
        how.list_failures(ActivationStore.open(answers_path(out_dir)))
        samples = _select_right(samples, data)
    with how.showing(out_dir, "baseline", len(samples)) as options:
        store = extract_baseline(vlm, samples, settings, out_dir, options)
    how.report(store)


def knockout(
    baseline: Annotated[str, typer.Option(help="Store of the baseline: model, samples and settings are its.")],
    out_dir: Annotated[str, typer.Option("--out", help="Folder for the stores, one a window, named by what is cut.")],
    edges: Annotated[str, typer.Option(help="From-to pairs of token groups, with commas.")] = "image-question",
    windows: Annotated[str, typer.Option(help="'all', ranges such as '0-2,5-9', or 'sliding:7'.")] = "all",
    num_workers: Workers = None,
    max_errors: MaxErrors = None,
    strict: Strict = False,
    device: Device = None,
    device_map: DeviceMap = None,
    local_files_only: Local = False,
) -> None:
    """Extract again with attention edges cut: one store a window, each proved on real samples first."""
    _check_out(out_dir)
    pairs = parse_edges(edges)
    base = ActivationStore.open(baseline)
    settings = from_manifest(dict(base.manifest.settings))
    samples = _samples_of(base, settings)
    process = Process.from_environment()
    vlm = _load(settings.model, device, device_map, local_files_only, process)

    from extraction.run.jobs import extract_knockouts

    cuts = [
        Knockout(edges=pairs, first=first, last=last, is_all=is_all)
        for first, last, is_all in parse_windows(windows, len(vlm.layers))
    ]
    how = _Extraction(vlm, settings, process, num_workers, 0 if strict else max_errors)
    with how.showing(out_dir, f"{len(cuts)} knockouts", len(samples) * len(cuts)) as options:
        stores = extract_knockouts(vlm, samples, base, cuts, out_dir, options, how.tell_proof)
    how.compare(base, list(stores.values()))


def _check_out(out_dir: str) -> None:
    """Refuse a folder that cannot be written to before a model is loaded; a URL shows when it is written to."""
    folder = open_folder(out_dir)
    if isinstance(folder, LocalFolder):
        check_folder(folder.path, "--out")


def _data_source(**options: Path | list[Path] | bool | None) -> tuple[str, list[str] | None]:
    """Return the reader and the paths of the one data set that was asked for."""
    given = {name.replace("_", "-"): path for name, path in options.items() if path}
    if len(given) != 1:
        raise ValueError("Give exactly one of --gqa FOLDER, --csv FILE, --jsonl FILE, --dataset FOLDER and --easy-vqa.")
    ((reader, path),) = given.items()
    paths = path if isinstance(path, list) else [path] if isinstance(path, Path) else []
    return reader, [str(one.resolve()) for one in paths] or None


def load_for_command(
    model: ModelSettings, device: str | None, device_map: str | None, local_files_only: bool, process: Process
) -> "tuple[VisionLanguageModel, list[Checked]]":
    """Load a model and look it over."""
    if process.is_first and process.world_size > 1:
        err.print(f"{process.world_size} processes, started by {process.launcher}; process 0 reports for all.")
    with working(f"Loading {model.name}") if process.is_first else nullcontext():
        from transformers.utils import logging

        from extraction.model.load import load_model
        from extraction.proof.preflight import look_over
        from extraction.run.processes import device_of

        logging.disable_progress_bar()
        device = device or (None if device_map else device_of(process))
        vlm = load_model(**vars(model), device=device, device_map=device_map, local_files_only=local_files_only)
        return vlm, look_over(vlm)


def _load(
    model: ModelSettings, device: str | None, device_map: str | None, local_files_only: bool, process: Process
) -> "VisionLanguageModel":
    """Load a model, and say what is not as most checkpoints have it."""
    vlm, checks = load_for_command(model, device, device_map, local_files_only, process)
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

    def __init__(
        self,
        vlm: "VisionLanguageModel",
        settings: RunSettings,
        process: Process,
        workers: int | None,
        max_errors: int | None,
    ) -> None:
        self._settings, self._process, self._max_errors = settings, process, max_errors
        self._workers = (0 if vlm.device.type == "cpu" else 4) if workers is None else workers

    @contextmanager
    def showing(self, path: str, what: str, total: int) -> Iterator["RunOptions"]:
        """Show the progress of an extraction, if there is anything to do."""
        from extraction.run.fill import RunOptions
        from extraction.tiny.training import single_thread

        with progress_bar(f"Extracting {what}", total, is_shown=self._process.is_first) as advance:
            seen = -1

            def progress(done: int) -> None:
                nonlocal seen
                if seen < 0 < done:
                    self._tell(f"{path}: {done} of {total} samples are there and reused{_whole(done, total)}.")
                if done > max(seen, 0):
                    advance(done - max(seen, 0))
                seen = done

            with single_thread() if self._settings.model.name in SHIPPED else nullcontext():
                yield RunOptions(
                    workers=self._workers,
                    max_errors=self._max_errors,
                    process=self._process,
                    progress=progress,
                    say=lambda line: err.print(line),
                )

    def tell_proof(self, cut: Knockout, proof: "KnockoutProof") -> None:
        """Say what a self-test measured."""
        same = "" if proof.baseline_error is None else f"; states are the baseline's to {proof.baseline_error:.0e}"
        self._tell(
            f"{cut.name}: proved on real samples. Weight on cut edges {proof.weight_cut:.2f} before, "
            f"{proof.weight_left:g} after; sdpa and eager logits agree to {proof.agreement:.0e}; the pass from block "
            f"{cut.first} on agrees with the whole one to {proof.tail_error:.0e}{same}; the model is restored bit "
            "by bit."
        )

    def list_failures(self, store: ActivationStore) -> None:
        """List the samples without a row."""
        if self._process.is_first:
            report_failures(store)

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


def _whole(done: int, total: int) -> str:
    return "; nothing to do" if done == total else ""
