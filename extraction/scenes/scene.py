"""What is in a generated image: two different shapes, one in each half."""

from dataclasses import dataclass
from random import Random

SHAPES = ("circle", "square", "triangle")
COLORS: tuple[str, ...] = ("black", "blue", "green", "purple", "red", "yellow")
MATERIALS: tuple[str, ...] = ("solid", "striped")
SIZES = ("small", "large")
SIDES = ("left", "right")

IMAGE_SIZE = 64
RADII = {"small": 8, "large": 13}
"""Half the height of a thing in pixels."""

SPLITS = {"train": 1_000_000, "val": 2_000_000, "testdev": 3_000_000}
"""First image id of each split."""
SPLIT_SIZE = 1_000_000
"""Images a split can have, so that no two splits share an image id."""
IMAGES = 1100
"""Validation images if nothing else is asked for; each has one question of every task, so a thousand of each."""

_MARGIN = 2  # pixels between a thing and the border of its half
_SHADES = range(215, 251)  # gray levels of the background


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One shape.

    Attributes:
        id: Object id, digits.
        shape: One of SHAPES.
        color: One of COLORS.
        material: One of MATERIALS: how it is filled.
        size: One of SIZES.
        side: One of SIDES: the half of the image that it lies in.
        center: Column and row of its center, in pixels.
    """

    id: str
    shape: str
    color: str
    material: str
    size: str
    side: str
    center: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One image.

    Attributes:
        seed: Seed of the data set.
        image_id: Number of the image; it tells the split.
        things: The thing on the left and the thing on the right, of different shapes. They share
            either the color or the material, never both.
        shade: Gray level of the background.
    """

    seed: int
    image_id: int
    things: tuple[Thing, Thing]
    shade: int


def make_scene(seed: int, image_id: int) -> Scene:
    """Draw a scene; seed and image id decide it alone."""
    draw = Random(f"scene/{seed}/{image_id}")
    shapes = draw.sample(SHAPES, 2)
    colors, materials = draw.sample(COLORS, 2), draw.sample(MATERIALS, 2)
    shared = draw.choice((colors, materials))
    shared[1] = shared[0]
    sizes = draw.choices(SIZES, k=2)
    left, right = (
        Thing(
            id=f"{image_id}{number + 1}",
            shape=shapes[number],
            color=colors[number],
            material=materials[number],
            size=sizes[number],
            side=side,
            center=_place(draw, side, RADII[sizes[number]]),
        )
        for number, side in enumerate(SIDES)
    )
    return Scene(seed=seed, image_id=image_id, things=(left, right), shade=draw.choice(_SHADES))


def image_ids(split: str, count: int) -> range:
    """Return the ids of the first images of a split.

    Raises:
        ValueError: Unknown split, or a count that it does not have.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {tuple(SPLITS)}, got {split!r}.")
    if not 1 <= count <= SPLIT_SIZE:
        raise ValueError(f"a split has 1 to {SPLIT_SIZE} images, got {count}: ask for a number in that range.")
    return range(SPLITS[split], SPLITS[split] + count)


def _place(draw: Random, side: str, radius: int) -> tuple[int, int]:
    """Choose a center so that the thing stays inside of its half."""
    half = IMAGE_SIZE // 2
    start = SIDES.index(side) * half
    reach = radius + _MARGIN
    return draw.randint(start + reach, start + half - reach), draw.randint(reach, IMAGE_SIZE - reach)
