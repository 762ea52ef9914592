"""Scenes as pictures, and the JPEG files that they are shipped as."""

from functools import cache
from io import BytesIO

from PIL import Image, ImageChops, ImageDraw

from extraction.scenes.scene import IMAGE_SIZE, RADII, Scene

_RGB = {
    "black": (20, 20, 20),
    "blue": (40, 70, 220),
    "green": (30, 150, 50),
    "purple": (150, 50, 180),
    "red": (215, 35, 35),
    "yellow": (240, 205, 30),
}
_STRIPE = 3  # pixels; a JPEG keeps stripes of that width
_JPEG = {"quality": 95, "subsampling": 0}  # colors are not averaged over neighboring pixels


def draw_scene(scene: Scene) -> Image.Image:
    """Draw a scene, 64x64, RGB."""
    picture = Image.new("RGB", (IMAGE_SIZE, IMAGE_SIZE), (scene.shade,) * 3)
    for thing in scene.things:
        stencil = _stencil(thing.shape, thing.material, RADII[thing.size])
        corner = tuple(at - length // 2 for at, length in zip(thing.center, stencil.size, strict=True))
        picture.paste(_RGB[thing.color], corner, stencil)  # type: ignore[arg-type]
    return picture


def encode_jpeg(scene: Scene) -> bytes:
    """Encode the picture of a scene as the data set ships it."""
    buffer = BytesIO()
    draw_scene(scene).save(buffer, "JPEG", **_JPEG)
    return buffer.getvalue()


def decode_jpeg(data: bytes) -> Image.Image:
    """Decode what `encode_jpeg` wrote."""
    with Image.open(BytesIO(data)) as picture:
        return picture.convert("RGB")


@cache
def _stencil(shape: str, material: str, radius: int) -> Image.Image:
    """Make the mask that the color is pasted through."""
    size = 2 * radius + 1
    mask = Image.new("L", (size, size), 0)
    pen, end = ImageDraw.Draw(mask), size - 1
    if shape == "circle":
        pen.ellipse((0, 0, end, end), fill=255)
    elif shape == "square":
        pen.rectangle((1, 1, end - 1, end - 1), fill=255)
    else:
        pen.polygon(((radius, 0), (0, end), (end, end)), fill=255)
    if material == "solid":
        return mask
    stripes = Image.new("L", (size, size), 0)
    pen = ImageDraw.Draw(stripes)
    for row in range(0, size, 2 * _STRIPE):
        pen.rectangle((0, row, size, row + _STRIPE - 1), fill=255)
    return ImageChops.multiply(mask, stripes)
