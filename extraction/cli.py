"""`pid-extract`: from models and images to activation stores."""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from extraction.datasets.sample import Sample
from extraction.edges import Knockout, parse_edges, parse_windows
from extraction.settings import DataSettings, ModelSettings, RunSettings, from_manifest, load_samples
from extraction.tiny import SHIPPED
from extraction.tiny.commands import make_gqa, train_tiny
from pid_jax.console import err, make_app, out, parse_names, progress_bar, run_app, working
from pid_jax.store import ActivationStore, describe_differences

if TYPE_CHECKING:
    from extraction.models import VisionLanguageModel

app = make_app("Extract hidden states of LLaVA-1.5 and LLaVA-1.6 into activation stores, with attention knockouts.")

Out = Annotated[Path, typer.Option("--out", help="Folder of the store; an unfinished store there is continued.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, ...; the first accelerator if not given.")]
Local = Annotated[bool, typer.Option("--local-files-only", help="Never ask the Hugging Face hub.")]


@app.command()
def run(
    out_dir: Out,
    model: Annotated[
        str, typer.Option(help="Folder or hub id of a LLaVA-1.5 or 1.6, or tiny, tiny-gqa-8, tiny-gqa-6.")
    ] = "tiny",
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")] = None,
    easy_vqa: Annotated[bool, typer.Option("--easy-vqa", help="Use the test split of easy-VQA.")] = False,
    jsonl: Annotated[Path | None, typer.Option(help="Samples, one {id, image, question, answer, task} a line.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder that image paths in --jsonl are relative to.")] = None,
    tasks: Annotated[str, typer.Option(help="'all' or task names with commas.")] = "all",
    per_task: Annotated[int | None, typer.Option(help="Samples a task at most; all if not given.")] = None,
    one_per_image: Annotated[
        bool, typer.Option("--one-per-image", help="One sample of each task and image only: samples are independent.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the choice of samples.")] = 0,
    template: Annotated[str, typer.Option(help="plain, vicuna_v1, chat, or a text with <image> and {q}.")] = "plain",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16: precision of the model.")] = "auto",
    store_dtype: Annotated[str, typer.Option(help="float32 or float16: precision on disk.")] = "float32",
    attn_implementation: Annotated[str, typer.Option(help="sdpa or eager.")] = "sdpa",
    batch_size: Annotated[int, typer.Option(help="Samples a forward pass.")] = 64,
    shard_size: Annotated[int, typer.Option(help="Samples a shard.")] = 128,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer.")] = 8,
    device: Device = None,
    local_files_only: Local = False,
) -> None:
    """Extract the baseline: states of every layer, answers, token counts."""
    from extraction.prompts import resolve_template

    data = _data_settings(easy_vqa, jsonl, images, tasks, per_task, seed, one_per_image)
    samples = load_samples(data)
    chosen = ModelSettings(name=model, revision=revision, dtype=dtype, attn_implementation=attn_implementation)
    vlm = _load(chosen, device, local_files_only)
    settings = RunSettings(
        model=chosen,
        data=data,
        template=resolve_template(template, vlm.processor),
        batch_size=batch_size,
        shard_size=shard_size,
        max_new_tokens=max_new_tokens,
        dtype=store_dtype,
    )
    _fill(vlm, samples, settings, out_dir, None)


@app.command()
def knockout(
    baseline: Annotated[
        Path, typer.Option(help="Store of the baseline: model, samples and settings are taken from it.")
    ],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the stores, one a window, named by what is cut.")],
    edges: Annotated[str, typer.Option(help="From-to pairs of token groups, with commas.")] = "image-question",
    windows: Annotated[str, typer.Option(help="'all', ranges such as '0-2,5-9', or 'sliding:7'.")] = "all",
    device: Device = None,
    local_files_only: Local = False,
) -> None:
    """Extract again with attention edges cut: one store a window, each proved on real samples first."""
    pairs = parse_edges(edges)
    base = ActivationStore.open(baseline)
    settings = from_manifest(dict(base.manifest.settings))
    samples = _samples_of(base, settings)
    vlm = _load(settings.model, device, local_files_only)

    from extraction.run import check_knockout, plan_store  # loads PyTorch, which `_load` does under its progress line

    now = plan_store(vlm, samples, settings, None).settings
    if different := describe_differences(base.manifest.settings, now):
        raise ValueError(
            f"{baseline} was made under other circumstances ({different}), so a knockout made now could not be "
            "compared with it: restore them, or extract the baseline again."
        )
    for first, last, is_all in parse_windows(windows, len(vlm.layers)):
        cut = Knockout(edges=pairs, first=first, last=last, is_all=is_all)
        with working(f"Testing {cut.name}"):
            proof = check_knockout(vlm, samples, settings, cut)
        out.print(
            f"{cut.name}: proved on real samples. Weight on cut edges {proof.weight_cut:.2f} before, "
            f"{proof.weight_left:g} after; sdpa and eager logits agree to {proof.agreement:.0e}; "
            "the model is restored bit by bit."
        )
        _fill(vlm, samples, settings, out_dir / cut.name, cut)


@app.command()
def verify(store: Annotated[Path, typer.Argument(help="The store.")]) -> None:
    """Check every byte and every id of a store; exit code 1 if anything is wrong."""
    opened = ActivationStore.open(store)
    problems = opened.verify()
    for problem in problems:
        err.print(f"- {problem}", markup=False)
    if problems:
        raise ValueError(f"{store}: {len(problems)} problems found.")
    _report_failures(opened)
    failed = f" and {len(opened.failures)} recorded failures" if opened.failures else ""
    shards = opened.manifest.shard_count
    out.print(f"{store}: {len(opened.ids)} samples{failed} in {shards} shards, every id once, every byte as written.")


app.command("train-tiny")(train_tiny)
app.command("make-gqa")(make_gqa)


def _data_settings(
    easy_vqa: bool,
    jsonl: Path | None,
    images: Path | None,
    tasks: str,
    per_task: int | None,
    seed: int,
    one_per_image: bool,
) -> DataSettings:
    if easy_vqa == (jsonl is not None):
        raise ValueError("Choose the samples by exactly one of --easy-vqa and --jsonl FILE.")
    return DataSettings(
        reader="easy-vqa" if easy_vqa else "jsonl",
        path=None if jsonl is None else str(jsonl.resolve()),
        images=None if images is None else str(images.resolve()),
        tasks=parse_names(tasks),
        per_task=per_task,
        seed=seed,
        one_per_image=one_per_image,
    )


def _load(model: ModelSettings, device: str | None, local_files_only: bool) -> "VisionLanguageModel":
    with working(f"Loading {model.name}"):
        from transformers.utils import logging

        from extraction.models import load_model

        logging.disable_progress_bar()
        return load_model(**vars(model), device=device, local_files_only=local_files_only)


def _samples_of(base: ActivationStore, settings: RunSettings) -> list[Sample]:
    by_id = {sample.id: sample for sample in load_samples(settings.data)}
    gone = [i for i in base.manifest.ids if i not in by_id]
    if gone:
        raise ValueError(
            f"{len(gone)} samples of {base.path} are no longer in its data (first {gone[0]!r}): restore the data."
        )
    return [by_id[i] for i in base.manifest.ids]


def _fill(
    vlm: "VisionLanguageModel", samples: list[Sample], settings: RunSettings, path: Path, cut: Knockout | None
) -> None:
    from extraction.run import extract, plan_store
    from extraction.tiny.threads import single_thread

    store = ActivationStore.create(path, plan_store(vlm, samples, settings, cut))
    todo = sum(len(store.shard_ids(i)) for i in store.missing_shards())
    if todo < len(samples):
        found = f"{len(samples) - todo} of {len(samples)} samples are there"
        out.print(f"{path}: {found} and reused{'' if todo else '; nothing to do'}.")
    if todo:
        name = store.manifest.condition["name"]
        with (
            progress_bar(f"Extracting {name}", len(samples), len(samples) - todo) as advance,
            single_thread() if settings.model.name in SHIPPED else nullcontext(),
        ):
            extract(vlm, samples, settings, store, cut, advance)
    _report_failures(store)
    _report_accuracy(store)


def _report_failures(store: ActivationStore) -> None:
    for failure in store.failures:
        err.print(f"{failure.id}: {failure.stage}: {failure.message}", markup=False)
    if store.failures:
        shards = ", ".join(store.shard_path(i).name for i, header in store.headers.items() if header.failures)
        err.print(
            f"{store.path}: {len(store.failures)} samples could not be extracted and are recorded in the store. To try "
            f"them again after a repair, delete {shards} and run the same command."
        )


def _report_accuracy(store: ActivationStore) -> None:
    columns = store.columns
    for task in dict.fromkeys(columns["task"]):
        has_answer = (columns["task"] == task) & (columns["gold"] != "")
        count = int(has_answer.sum())
        accuracy = f"accuracy {columns['correct'][has_answer].mean():.4f}" if count else "no gold answers, no accuracy;"
        out.print(f"{store.path}: {task}: {accuracy} on {count} questions.")


def main() -> None:
    """Run the command line."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    run_app(app)


if __name__ == "__main__":
    main()
