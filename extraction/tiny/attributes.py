"""Shape and color of each image, read from the questions and their answers alone."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from extraction.datasets.sample import Sample
from extraction.tiny.tokenizer import COLORS, SHAPES

UNKNOWN = -100
"""Class index of an attribute that no question reveals; ignored by `cross_entropy`."""

_NEGATIONS = {"not", "no"}


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """Class indices into SHAPES and COLORS, or UNKNOWN; each of shape (n_images,)."""

    shape: Tensor
    color: Tensor


def group_by_image(samples: Sequence[Sample]) -> dict[Hashable, list[Sample]]:
    """Collect the questions of each image, images in the order of their first question."""
    groups: dict[Hashable, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.image_key, []).append(sample)
    return groups


def read_attributes(groups: Sequence[Sequence[Sample]]) -> Attributes:
    """Read the attributes of each image from its questions.

    A "what" question names true attributes in itself ("what is the blue shape?") and in its
    answer ("rectangle"). A "yes-no" question names one attribute, which is true if the answer
    is "yes" and the question has no negation, or "no" and it has one; otherwise it is false,
    and an attribute whose alternatives are all false but one is known as well.

    Args:
        groups: The questions of each image.

    Returns:
        Attributes, one entry an image.
    """
    facts = [_facts(group) for group in groups]
    return Attributes(
        shape=torch.tensor([_class_index(true, false, SHAPES) for true, false in facts]),
        color=torch.tensor([_class_index(true, false, COLORS) for true, false in facts]),
    )


def _facts(group: Sequence[Sample]) -> tuple[set[str], set[str]]:
    """Return the words that hold of the image, and those that do not."""
    true: set[str] = set()
    false: set[str] = set()
    for sample in group:
        words = set(sample.question.rstrip("?").split())
        named = words & {*SHAPES, *COLORS}
        if sample.answer in ("yes", "no"):
            holds = (sample.answer == "yes") != bool(words & _NEGATIONS)
            (true if holds else false).update(named)
        else:
            true.update(named, {sample.answer or ""})
    return true, false


def _class_index(true: set[str], false: set[str], names: tuple[str, ...]) -> int:
    known = [i for i, name in enumerate(names) if name in true]
    possible = [i for i, name in enumerate(names) if name not in false]
    left = known or possible
    return left[0] if len(left) == 1 else UNKNOWN
