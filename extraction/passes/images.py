"""Open the images of samples, whatever they are: wrong ones are errors of their sample and do no harm."""

import io

import xxhash
from PIL import Image, ImageOps, UnidentifiedImageError

from extraction.datasets.image_source import MemoryImage
from extraction.datasets.sample import Sample
from extraction.errors import SampleError, image_error, shown

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""What is decoded. Others are left out on purpose: EPS, for example, would start another program."""

SMALLEST_SIDE = 2
LARGEST_RATIO = 50
"""Longer to shorter side; models for images cut or squeeze such a strip to nothing."""

_WIDE_MODES = ("I", "F")  # 32 bits a pixel, of a range that the file does not say


def open_image(sample: Sample) -> Image.Image:
    """Open the image of a sample, see `read_image`."""
    return read_image(sample)[0]


def read_image(sample: Sample) -> tuple[Image.Image, str]:
    """Open the image of a sample as RGB, turned upright as its EXIF data say, and hash its content.

    The size is checked before anything is decoded; the limit is `PIL.Image.MAX_IMAGE_PIXELS`.

    Returns:
        The image, and the XXH3-128 of its encoded bytes; of an image in memory its name, which hashes its pixels.

    Raises:
        SampleError: If there is no such image, it lies outside of its folder, is damaged, of another format than
            `FORMATS`, too large, too small or too narrow.
    """
    source = sample.source
    if source is None:
        raise SampleError("image", "the sample has no image: give it one")
    name = "the image in memory" if isinstance(source, MemoryImage) else f"{source.folder_name}/{source.name}"
    try:
        if isinstance(source, MemoryImage):
            return _decode(source.image, name), source.name
        content = source.read()
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            return _decode(opened, name), xxhash.xxh3_128_hexdigest(content)
    except SampleError:
        raise
    except UnidentifiedImageError:
        raise image_error(
            name, f"is no image of the formats {', '.join(FORMATS)}: convert or replace the file"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(name) from None
    except Exception as error:  # decoders raise whatever the damage leads to: KeyError, struct.error, ...
        why = shown(error) or type(error).__name__
        raise image_error(name, f"cannot be decoded ({why}): replace the file") from error


def _decode(image: Image.Image, name: str) -> Image.Image:
    _check_size(image.width, image.height, name)
    upright = ImageOps.exif_transpose(image)
    if upright.mode in _WIDE_MODES:
        raise image_error(name, "has 32 bits a pixel, of unknown range: convert it to 8 bits")
    if upright.mode.startswith("I;16"):  # `convert` alone would make everything above 255 white
        upright = upright.convert("I").point(lambda value: value / 256).convert("L")
    return upright.convert("RGB")


def _check_size(width: int, height: int, name: str) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        raise _too_large(name)
    short, long = sorted((width, height))
    size = f"{width} x {height} pixels"
    if short < SMALLEST_SIDE:
        raise image_error(name, f"has {size} and shows nothing: replace the file")
    if long > LARGEST_RATIO * short:
        raise image_error(name, f"has {size}, a strip of more than {LARGEST_RATIO} : 1: crop the image")


def _too_large(name: str) -> SampleError:
    limit = Image.MAX_IMAGE_PIXELS
    return image_error(name, f"has more than {limit} pixels and may be a decompression bomb: make it smaller")
