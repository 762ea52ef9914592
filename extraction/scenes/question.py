"""One question with all that GQA publishes about it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extraction.datasets.gqa_tasks import TYPES
from extraction.datasets.sample import Sample

NO_OBJECT = "-"
"""Stands in a program where GQA puts the id of an object, if there is no such object in the image."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One operation of a functional program.

    Attributes:
        operation: Such as "filter color".
        argument: Such as "red".
        dependencies: Numbers of the steps whose results it takes.
    """

    operation: str
    argument: str
    dependencies: tuple[int, ...] = ()

    def __str__(self) -> str:
        after = f" [{', '.join(map(str, self.dependencies))}]" if self.dependencies else ""
        return f"{self.operation}: {self.argument}{after}"


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question about a scene.

    Attributes:
        task: Name of the task, a key of TYPES.
        detailed: Detailed type, as GQA names it.
        text: The question.
        answer: One word, lower case.
        full_answer: A sentence.
        program: Steps that lead to the answer.
        objects: Object id of each word that names an object.
        topic: Object and attribute that are asked for, such as "square_color".
        family: The attribute alone, where GQA groups questions by it.
    """

    task: str
    detailed: str
    text: str
    answer: str
    full_answer: str
    program: tuple[Step, ...]
    objects: Mapping[str, str]
    topic: str
    family: str | None = None

    def as_sample(self, name: str, image: Path) -> Sample:
        """Return the question as a sample of that id."""
        return Sample(id=name, image=image, question=self.text, answer=self.answer, task=self.task)


def describe_question(question: Question, question_id: str, image_id: str) -> dict[str, Any]:
    """Write a question as the object that stands under its id in a file of GQA."""
    structural, semantic = TYPES[question.task]
    texts = {"answer": question.answer, "question": question.text, "fullAnswer": question.full_answer}
    return {
        "semantic": [
            {"operation": step.operation, "dependencies": list(step.dependencies), "argument": step.argument}
            for step in question.program
        ],
        "entailed": [],
        "equivalent": [question_id],
        "question": question.text,
        "imageId": image_id,
        "isBalanced": True,
        "groups": {"global": question.family, "local": f"{len(question.text.split()):02d}-{question.topic}"},
        "answer": question.answer,
        "semanticStr": "->".join(map(str, question.program)),
        "annotations": {name: _locate(text, question.objects) for name, text in texts.items()},
        "types": {"detailed": question.detailed, "semantic": semantic, "structural": structural},
        "fullAnswer": question.full_answer,
    }


def _locate(text: str, objects: Mapping[str, str]) -> dict[str, str]:
    """Map the place of each word that names an object, counted from 0, to the object's id."""
    words = [re.sub(r"\W", "", word) for word in text.split()]
    return {str(place): objects[word] for place, word in enumerate(words) if word in objects}
