"""Options that commands of `pid-extract` share: dataclasses, each field of which is an option of a command."""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from extraction.datasets.load import DataSettings
from extraction.run.settings import ModelSettings, RunSettings, parse_layers
from pid_jax.runtime.console import parse_names
from pid_jax.store.manifest import GROUPS


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model, and how it runs."""

    model: Annotated[
        str, typer.Option(help="Folder or hub id of a model, or tiny, tiny-gqa-8, tiny-gqa-6, which ship with pid_jax.")
    ] = "tiny"
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")] = None
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16: precision of the model.")] = "auto"
    attn_implementation: Annotated[str, typer.Option(help="sdpa or eager.")] = "sdpa"

    def settings(self) -> ModelSettings:
        """Return what the manifest keeps of them."""
        return ModelSettings(
            name=self.model, revision=self.revision, dtype=self.dtype, attn_implementation=self.attn_implementation
        )


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Which samples."""

    gqa: Annotated[Path | None, typer.Option(help="Folder of GQA as downloaded: questions and images.")] = None
    csv: Annotated[list[Path] | None, typer.Option(help="GQA questions as CSV, with --images; repeatable.")] = None
    jsonl: Annotated[Path | None, typer.Option(help="Samples, one {id, image, question, answer, task} a line.")] = None
    dataset: Annotated[Path | None, typer.Option(help="Folder of GQA as a Hugging Face data set.")] = None
    easy_vqa: Annotated[bool, typer.Option("--easy-vqa", help="Use easy-VQA.")] = False
    images: Annotated[Path | None, typer.Option(help="Folder that all images of --jsonl, --csv, --gqa are in.")] = None
    split: Annotated[str | None, typer.Option(help="Split; val_balanced of GQA, test of easy-VQA if not given.")] = None
    tasks: Annotated[str, typer.Option(help="'all' or task names with commas.")] = "all"
    per_task: Annotated[int | None, typer.Option(help="Samples a task at most; all if not given.")] = None
    one_per_image: Annotated[
        bool, typer.Option("--one-per-image", help="One sample of each task and image only: samples are independent.")
    ] = False
    limit: Annotated[int | None, typer.Option(help="The first samples of that choice only; all if not given.")] = None
    seed: Annotated[int, typer.Option(help="Seed of the choice of samples.")] = 0

    def settings(self) -> DataSettings:
        """Return what the manifest keeps of them.

        Raises:
            ValueError: If not exactly one data set is given.
        """
        given = {name: path for name in _READERS if (path := getattr(self, name.replace("-", "_")))}
        if len(given) != 1:
            raise ValueError(
                "Give exactly one of --gqa FOLDER, --csv FILE, --jsonl FILE, --dataset FOLDER and --easy-vqa."
            )
        ((reader, path),) = given.items()
        paths = path if isinstance(path, list) else [path] if isinstance(path, Path) else []
        return DataSettings(
            reader=reader,
            path=[str(one.resolve()) for one in paths] or None,
            images=None if self.images is None else str(self.images.resolve()),
            split=self.split,
            tasks=parse_names(self.tasks),
            per_task=self.per_task,
            seed=self.seed,
            one_per_image=self.one_per_image,
            limit=self.limit,
        )


_READERS = ("gqa", "csv", "jsonl", "dataset", "easy-vqa")


@dataclass(frozen=True, kw_only=True)
class RecordOptions:
    """What is asked of the model, and what is kept of it."""

    keep: Annotated[
        str, typer.Option(help="all, or correct: answer all first, then choose among the right answers.")
    ] = "all"
    template: Annotated[
        str, typer.Option(help="plain, vicuna_v1, mistral, llama_3, chatml, chat, or a text with <image> and {q}.")
    ] = "plain"
    roles: Annotated[str, typer.Option(help=f"Token groups to record, of {', '.join(GROUPS)}.")] = "image,question,last"
    layers: Annotated[
        str, typer.Option(help="'all', or numbers with commas: 0 embeddings, l block l, -1 the last block.")
    ] = "all"
    store_dtype: Annotated[str, typer.Option(help="float32 or float16: precision on disk.")] = "float32"
    batch_size: Annotated[int, typer.Option(help="Samples a forward pass; halved where memory runs out.")] = 64
    shard_size: Annotated[int, typer.Option(help="Samples a shard.")] = 128
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer.")] = 8
    share_images: Annotated[
        bool, typer.Option("--share-images/--no-share-images", help="One pass over an image for all its questions.")
    ] = True

    def settings(self, model: ModelSettings, data: DataSettings) -> RunSettings:
        """Return the settings of a run; the template is still as it was given."""
        return RunSettings(
            model=model,
            data=data,
            template=self.template,
            batch_size=self.batch_size,
            shard_size=self.shard_size,
            max_new_tokens=self.max_new_tokens,
            dtype=self.store_dtype,
            roles=tuple(name.strip() for name in self.roles.split(",")),
            layers=parse_layers(self.layers),
            share_images=self.share_images,
            keep=self.keep,
        )


@dataclass(frozen=True, kw_only=True)
class FillOptions:
    """How a run goes, without a word on what it makes."""

    num_workers: Annotated[
        int | None, typer.Option(help="Processes that decode images; 0 without an accelerator, else 4.")
    ] = None
    max_errors: Annotated[int | None, typer.Option(help="Stop after more failures than this; never if not given.")] = (
        None
    )
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first failure: --max-errors 0.")] = False
    strict_versions: Annotated[
        bool, typer.Option("--strict-versions", help="Refuse a store that other versions of packages made.")
    ] = False


@dataclass(frozen=True, kw_only=True)
class DeviceOptions:
    """Where the model is loaded from and to."""

    device: Annotated[
        str | None, typer.Option(help="cpu, cuda:1, ...; the launcher's choice, or the first, if not given.")
    ] = None
    device_map: Annotated[str | None, typer.Option(help="auto, balanced, ...: spread the model, by accelerate.")] = None
    local_files_only: Annotated[bool, typer.Option("--local-files-only", help="Never ask the Hugging Face hub.")] = (
        False
    )
    family: Annotated[
        Path | None, typer.Option(help="TOML file with the entry of a family that pid_jax does not know.")
    ] = None


def flat_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for every field of the dataclasses among its parameters."""
    hints = get_type_hints(command, include_extras=True)
    groups = {name: hints[name] for name in signature(command).parameters if is_dataclass(hints[name])}
    parameters: list[Parameter] = []
    for name, parameter in signature(command).parameters.items():
        if name not in groups:
            parameters.append(parameter.replace(annotation=hints[name], kind=Parameter.KEYWORD_ONLY))
            continue
        own = get_type_hints(groups[name], include_extras=True)
        parameters += [
            Parameter(one.name, Parameter.KEYWORD_ONLY, default=one.default, annotation=own[one.name])
            for one in fields(groups[name])
        ]

    @wraps(command)
    def flat(**given: Any) -> None:
        taken = {
            name: group(**{one.name: given.pop(one.name) for one in fields(group) if one.name in given})
            for name, group in groups.items()
        }
        command(**given, **taken)

    flat.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return flat
