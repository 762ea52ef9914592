"""The six tasks of GQA questions, by structural, semantic and detailed type.

They are those of the field's knockout studies. GQA has many detailed types for the choice between attributes
(chooseAttr, materialChoose, typeChoose, activityChoose, companyChoose, stateChoose, positionChoose, ...) and between
categories (objThisChoose, categoryThatChoose, categoryThisChoose), and all of them count.

Source: D. Hudson, C. Manning, GQA, CVPR 2019, https://cs.stanford.edu/people/dorarad/gqa.
"""

from collections.abc import Callable, Mapping
from sys import intern

from extraction.datasets.image_source import ImageSource
from extraction.datasets.record import Draft, RecordError, read_name, read_text

# (structural, semantic): (task, detailed types, all if None)
_TASKS = {
    ("choose", "attr"): ("ChooseAttr", None),
    ("choose", "cat"): ("ChooseCat", None),
    ("choose", "rel"): ("ChooseRel", {"relChooser"}),
    ("compare", "attr"): ("CompareAttr", {"twoCommon"}),
    ("logical", "obj"): ("LogicalObj", {"existThatOr", "existThatOrC"}),
    ("query", "attr"): ("QueryAttr", {"positionQuery"}),
}
TYPES = {task: types for types, (task, _) in _TASKS.items()}
"""Structural and semantic type of each task."""
TASKS = tuple(TYPES)
UNTYPED = "all"
"""Task of questions whose types GQA hides."""

_HIDDEN = ("test", "challenge", "submission")


def is_hidden(split: str) -> bool:
    """Whether GQA hides the answers and types of a split."""
    return split.split("_")[0] in _HIDDEN


def find_task(structural: str, semantic: str, detailed: str) -> str | None:
    """Return the task of a question, None if it belongs to none of the six."""
    task, accepted = _TASKS.get((structural, semantic), (None, None))
    return task if accepted is None or detailed in accepted else None


def read_question(
    fields: Mapping[str, object], image_of: Callable[[str], ImageSource], *, may_hide: bool = False
) -> Draft | None:
    """Read a GQA question.

    Args:
        fields: imageId, question, answer, types.
        image_of: The image of an id; raises RecordError if there is none.
        may_hide: Whether types and answer may be missing, as in the test splits.

    Returns:
        All but the id; None for a question outside of the six tasks.

    Raises:
        RecordError: If a field is missing or wrong.
    """
    task = UNTYPED if may_hide and fields.get("types") is None else _read_task(fields.get("types"))
    if task is None:
        return None
    has_answer = not may_hide or fields.get("answer") is not None
    return Draft(
        image=image_of(read_text(fields, "imageId")),
        question=read_text(fields, "question"),
        answer=intern(read_text(fields, "answer")) if has_answer else None,
        task=task,
    )


def _read_task(types: object) -> str | None:
    if not isinstance(types, Mapping):
        raise RecordError("types must hold structural, semantic and detailed: add them")
    return find_task(*(read_name(types, name) for name in ("structural", "semantic", "detailed")))
