"""The commands of `pid-extract` that make small models and data for them."""

from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from extraction.scenes.scene import IMAGES, image_ids
from pid_jax.runtime.console import err, out, working


class Data(StrEnum):
    """What a small model is trained on."""

    EASY_VQA = "easy-vqa"
    GQA = "gqa"


def make_gqa(
    out_dir: Annotated[Path, typer.Option("--out", help="Folder to write, in the layout of GQA.")],
    images: Annotated[int, typer.Option(help="Validation images, each with a question of every task.")] = IMAGES,
    seed: Annotated[int, typer.Option(help="Seed of scenes and questions.")] = 0,
) -> None:
    """Generate images of two shapes with questions of the six GQA tasks, in the layout in which GQA is published."""
    from extraction.scenes.folder import write_gqa_folder

    with working(f"Writing {out_dir}"):
        made = write_gqa_folder(out_dir, images=images, seed=seed)
    for split, count in made.questions.items():
        out.print(f"{made.path}: {split}: {count} questions about {made.images[split]} images.")
    if not made.written:
        out.print(f"{made.path}: everything was there; nothing to do.")


def train_tiny(
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the trained model.")],
    data: Annotated[Data, typer.Option(help="What it learns to answer.")] = Data.EASY_VQA,
    layers: Annotated[int, typer.Option(help="Decoder layers; other than 8 with --data gqa only.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of the training.")] = 0,
) -> None:
    """Train a small LLaVA from scratch, on easy-VQA or on generated scenes, then measure it on images it never saw."""
    from extraction.tiny.architecture import DECODER_LAYERS
    from extraction.tiny.train import train_tiny as train_on_easy_vqa
    from extraction.tiny.train_scenes import train_on_scenes

    if data is Data.EASY_VQA and layers != DECODER_LAYERS:
        raise ValueError(
            f"--layers must be {DECODER_LAYERS} for easy-vqa, got {layers}; choose depths with --data gqa."
        )
    if data is Data.GQA:
        summary = train_on_scenes(out_dir, layers=layers, seed=seed, report=err.print)
    else:
        summary = train_on_easy_vqa(out_dir, seed=seed, report=err.print)
    out.print(
        f"{summary.folder}: {summary.parameters} parameters, {summary.cpu_seconds:.0f} CPU seconds, accuracy "
        f"{summary.held_out_accuracy:.4f} on held-out images."
    )
    _measure(out_dir, data, seed)


def _measure(model: Path, data: Data, seed: int) -> None:
    """Print the accuracy of greedy answers on the test split, or on the default validation images of the seed."""
    from extraction.datasets.easy_vqa import load_easy_vqa
    from extraction.scenes.folder import scene_samples, write_gqa_folder
    from extraction.tiny.evaluate import evaluate_tiny

    with TemporaryDirectory() as folder:
        if data is Data.GQA:
            where = write_gqa_folder(Path(folder) / "gqa", seed=seed).path
            samples = [sample for image in image_ids("val", IMAGES) for sample in scene_samples(where, image, seed)]
        else:
            samples = load_easy_vqa("test")
        with working(f"Answering {len(samples)} questions about unseen images"):
            accuracy = evaluate_tiny(model, samples)
    for task, value in accuracy.items():
        out.print(f"accuracy, {task}: {value:.4f}")
