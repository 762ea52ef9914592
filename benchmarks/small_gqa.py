"""Accuracy of the small LLaVAs on generated scenes in the layout of GQA, whole and with attention cut.

Answers are generated greedily through the shipped processor from the JPEG files of a folder that `pid-extract make-gqa`
writes.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import Cost
from benchmarks.record import write_results
from benchmarks.tables import Row, collect
from extraction.datasets.sample import Sample
from extraction.model.load import load_model
from extraction.model.shipped import SHIPPED
from extraction.passes.edges import Knockout
from extraction.scenes.folder import scene_samples, write_gqa_folder
from extraction.scenes.questions import ASK, ask_questions
from extraction.scenes.scene import IMAGES, image_ids, make_scene
from extraction.tiny.evaluate import evaluate_tiny

MODELS = ("tiny-gqa-8", "tiny-gqa-6")
SEED = 0
"""Of the scenes that the models were trained on; the settings of the training were chosen by its validation split."""
UNSEEN_SEED = 1
"""Of scenes that no choice depended on."""
ROUTE_IMAGES = 200
GUESS_IMAGES = 20_000
CUTS = (
    (("image", "question"),),
    (("image", "suffix"),),
    (("image", "last"),),
    (("image", "question"), ("image", "suffix")),
    (("question", "suffix"), ("question", "last")),
    (("question", "last"),),
    (("suffix", "last"),),
)
WINDOW = 3
"""Blocks of a sliding window."""


def guesses() -> dict[str, str]:
    """The most frequent answer to each question text about training images."""
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for image_id in image_ids("train", GUESS_IMAGES):
        for question in ask_questions(make_scene(SEED, image_id)):
            answers[question.text][question.answer] += 1
    return {text: counts.most_common(1)[0][0] for text, counts in answers.items()}


def question_only(samples: Sequence[Sample]) -> dict[str, float]:
    """Accuracy of these guesses, which know the question but not the image."""
    best = guesses()
    right, total = Counter[str](), Counter[str]()
    for sample in samples:
        right[sample.task] += best.get(sample.question) == sample.answer
        total[sample.task] += 1
    return {task: right[task] / total[task] for task in total}


def whole(samples: Sequence[Sample]) -> list[Row]:
    """Accuracy a task, of guesses and of the models."""

    def measure(model: str) -> Row:
        with Cost() as cost:
            accuracy = evaluate_tiny(SHIPPED[model], samples)
        return {"answers": model, **accuracy, "CPU s": cost.cpu}

    return [{"answers": "question only", **question_only(samples)}, *collect(measure, MODELS)]


def routes(model: str, samples: Sequence[Sample]) -> list[Row]:
    """Accuracy a task with edges cut in all blocks, and image to question cut in windows."""
    layers = len(load_model(model).layers)
    spans = [(cut, 0, layers - 1) for cut in CUTS]
    spans += [(CUTS[0], first, first + WINDOW - 1) for first in range(layers - WINDOW + 1)]

    def measure(span: tuple[tuple, int, int]) -> Row:
        edges, first, last = span
        name = ", ".join(f"{source} to {target}" for source, target in edges)
        blocks = "all" if last - first == layers - 1 else f"{first} to {last}"
        cut = Knockout(edges=edges, first=first, last=last)
        return {"cut": name, "blocks": blocks, **evaluate_tiny(SHIPPED[model], samples, knockout=cut)}

    return [{"cut": "nothing", "blocks": "", **evaluate_tiny(SHIPPED[model], samples)}, *collect(measure, spans)]


def validation_samples(place: Path, seed: int) -> list[Sample]:
    """Write the folder of a seed and return the questions of its validation split."""
    folder = place / f"gqa-{seed}"
    write_gqa_folder(folder, seed=seed)
    return [sample for i in image_ids("val", IMAGES) for sample in scene_samples(folder, i, seed)]


def accuracy_tables(place: Path) -> dict[str, list[Row]]:
    """Accuracy a task on the validation split of both seeds, with the number of questions."""
    tables = {}
    for seed in (SEED, UNSEEN_SEED):
        samples = validation_samples(place, seed)
        counts = Counter(sample.task for sample in samples)
        title = f"Accuracy on the {len(samples)} validation questions of seed {seed}"
        tables[title] = [{"answers": "number of questions", **{task: counts[task] for task in ASK}}, *whole(samples)]
    return tables


def route_tables(place: Path) -> dict[str, list[Row]]:
    """Accuracy a task with attention cut, one table a model."""
    shown = set(map(str, image_ids("val", ROUTE_IMAGES)))
    samples = [sample for sample in validation_samples(place, SEED) if sample.image.stem in shown]
    title = f"accuracy with attention cut, {len(samples)} validation questions about {ROUTE_IMAGES} images"
    return {f"{model}: {title}": routes(model, samples) for model in MODELS}


def main() -> None:
    with TemporaryDirectory() as place:
        tables = accuracy_tables(Path(place)) | route_tables(Path(place))
    text = (
        f"Greedy answers from JPEG files, batches of 64, float32, one thread. Models trained with seed {SEED}; the "
        f"settings of the training were chosen by the validation split of that seed, none by seed {UNSEEN_SEED}."
    )
    write_results("small_gqa", "Small LLaVAs on generated scenes", text, tables)


if __name__ == "__main__":
    main()
