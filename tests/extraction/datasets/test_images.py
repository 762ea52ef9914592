"""Images are opened inside of their folder only, as RGB and upright, and refused with a reason where that fails."""

import os
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from extraction.datasets.image_source import ImageFile
from extraction.datasets.sample import Sample
from extraction.errors import SampleError
from extraction.passes.images import open_image
from tests.extraction.malformed import png, tiff

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "images"
    made.mkdir()
    return made


@pytest.fixture
def colors():
    """Four quarters of different colors, wider than high."""
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:10, :15], pixels[:10, 15:], pixels[10:, :15] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    return Image.fromarray(pixels)


def sample_of(image):
    return Sample(id="1", image=image, question="q", answer=None, task="t")


def opened(folder, name):
    return open_image(sample_of(ImageFile(folder / name, folder)))


def refused(folder, name, match):
    with pytest.raises(SampleError, match=match) as caught:
        opened(folder, name)
    assert caught.value.stage == "image"
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600
    assert " at 0x" not in str(caught.value), "shards would differ from run to run"


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "gif", "tiff", "ppm"])
def test_formats(folder, colors, suffix):
    colors.save(folder / f"a.{suffix}", quality=95)
    image = opened(folder, f"a.{suffix}")
    assert image.mode == "RGB"
    for place in ((4, 4), (25, 4), (4, 15), (25, 15)):
        np.testing.assert_allclose(image.getpixel(place), colors.getpixel(place), atol=40)


@pytest.mark.parametrize("suffix", ["eps", "ico", "pdf", "pcx", "tga", "icns", "jp2"])
def test_other_formats_are_refused(folder, colors, suffix):
    colors.save(folder / f"a.{suffix}")
    refused(folder, f"a.{suffix}", "no image of the formats JPEG, PNG")


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "YCbCr"])
def test_modes_become_rgb(folder, colors, mode):
    suffix = {"CMYK": "jpg", "YCbCr": "jpg"}.get(mode, "png")
    colors.convert(mode).save(folder / f"a.{suffix}")
    image = opened(folder, f"a.{suffix}")
    assert image.mode == "RGB"
    assert image.size == (30, 20)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_keep_their_contrast(folder, suffix):
    values = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    Image.fromarray(values).save(folder / f"a.{suffix}")
    np.testing.assert_array_equal(np.asarray(opened(folder, f"a.{suffix}"))[..., 1], values // 257)


def test_thirty_two_bits_have_no_known_range(folder):
    Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)).save(folder / "a.tiff")
    refused(folder, "a.tiff", "convert it to 8 bits")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_image_upright(folder, colors, orientation):
    turned = {
        1: colors,
        2: colors.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: colors.rotate(180),
        4: colors.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: colors.transpose(Image.Transpose.TRANSPOSE),
        6: colors.rotate(90, expand=True),
        7: colors.transpose(Image.Transpose.TRANSVERSE),
        8: colors.rotate(-90, expand=True),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned.save(folder / "a.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(opened(folder, "a.png")), np.asarray(colors))


def test_paths_and_images_in_memory(folder, colors):
    colors.save(folder / "a.png")
    for image in (folder / "a.png", colors, colors.convert("P")):
        assert open_image(sample_of(image)).mode == "RGB"
    with pytest.raises(SampleError, match="may be a decompression bomb"):
        open_image(sample_of(Image.new("1", (10_000, 9_000))))


@pytest.mark.parametrize("keep", [0, 1, 8, 20, 40, 100, 0.5, 0.9])
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "bmp", "tiff"])
def test_truncated_files(folder, suffix, keep):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / f"a.{suffix}")
    data = (folder / f"a.{suffix}").read_bytes()
    (folder / f"a.{suffix}").write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    refused(folder, f"a.{suffix}", "replace the file")


@pytest.mark.parametrize(
    ("size", "match"),
    [
        ((1, 1), "1 x 1 pixels and shows nothing"),
        ((1, 300), "shows nothing"),
        ((2, 101), "a strip of more than 50 : 1"),
        ((20_000, 300), "a strip"),
        ((20_000, 20_000), "may be a decompression bomb"),
        ((12_000, 8_000), "may be a decompression bomb"),
    ],
)
def test_sizes(folder, size, match):
    Image.new("1", size).save(folder / "a.png")
    refused(folder, "a.png", match)


def test_sizes_that_are_just_right(folder):
    for name, size in (("a", (2, 2)), ("b", (2, 100))):
        Image.new("1", size).save(folder / f"{name}.png")
        assert opened(folder, f"{name}.png").size == size


def test_bombs(folder):
    pixels = zlib.compress(b"\0" * 13 * 4)
    text = b"k\0\0" + zlib.compress(b" " * 200_000_000)
    bombs = {
        "header": png(2**31 - 1, (b"IDAT", pixels)),
        "text": png(4, (b"zTXt", text), (b"IDAT", pixels)),
        "late text": png(4, (b"IDAT", pixels), (b"zTXt", text)),
        "profile": png(4, (b"iCCP", text), (b"IDAT", pixels)),
        "no pixels": png(4000, (b"IDAT", b"")),
    }
    for name, data in bombs.items():
        (folder / name).write_bytes(data)
        refused(folder, name, "replace the file|bomb")
    (folder / "good").write_bytes(png(4, (b"IDAT", pixels)))
    assert opened(folder, "good").size == (4, 4)


def test_tags_that_claim_the_same_bytes(folder):
    """8,000 tags of a TIFF file that all point to the same 90 kB, which is all it has."""
    (folder / "a.tiff").write_bytes(tiff(4, 4))
    tracemalloc.start()
    assert opened(folder, "a.tiff").size == (4, 4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_damaged_images_in_memory(folder, colors):
    colors.save(folder / "a.png")
    (folder / "a.png").write_bytes((folder / "a.png").read_bytes()[:60])
    sample = sample_of(Image.open(folder / "a.png"))
    assert len(sample.image_name) == 32
    with pytest.raises(SampleError, match="the image in memory cannot be decoded"):
        open_image(sample)


def test_large_files_are_not_read(folder, monkeypatch, colors):
    monkeypatch.setattr("extraction.datasets.image_source.LARGEST_FILE", 1000)
    (folder / "a.png").write_bytes(b"\0" * 1001)
    refused(folder, "a.png", "save the image at a smaller size")


def test_what_is_no_regular_file_is_not_opened(folder):
    os.mkfifo(folder / "pipe")
    (folder / "sub").mkdir()
    for name in ("pipe", "sub", "."):
        refused(folder, name, "must be a regular file")


def test_nothing_outside_of_the_folder_is_opened(folder, tmp_path, colors):
    secret = tmp_path / "secret.png"
    colors.save(secret)
    colors.save(folder / "a.png")
    (folder / "link.png").symlink_to(secret)
    (folder / "parent").symlink_to(tmp_path)
    sibling = tmp_path / "images2"
    sibling.mkdir()
    colors.save(sibling / "a.png")
    for name in ("link.png", "parent/secret.png", "../secret.png", str(secret), "../images2/a.png", "/etc/passwd", ""):
        refused(folder, name, "leads out of the image folder|must be a regular file")
    for name in ("inner.png", "./a.png", "x/../a.png", str(folder / "a.png"), "parent/images/a.png"):
        if name == "inner.png":
            (folder / name).symlink_to("a.png")
        (folder / "x").mkdir(exist_ok=True)
        assert opened(folder, name).size == (30, 20)


def test_the_folder_itself_may_be_a_link(folder, tmp_path, colors):
    colors.save(folder / "a.png")
    (tmp_path / "link").symlink_to(folder)
    assert opened(tmp_path / "link", "a.png").size == (30, 20)


@pytest.mark.parametrize("name", ["a\0.png", "a" * 5000, "\ud800.png", "a/" * 3000, "none.png", "a.png/b.png", "loop"])
def test_names_of_nothing(folder, colors, name):
    colors.save(folder / "a.png")
    (folder / "loop").symlink_to("loop")
    refused(folder, name, "does not exist|cannot be read")
