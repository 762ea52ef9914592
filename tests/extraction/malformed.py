"""Malformed images, names and records, made the same way every time."""

import io
import json
import os
import random
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

FORMATS = ("png", "jpeg", "webp", "gif", "bmp", "tiff")
CUTS = (0, 1, 3, 9, 30, 60, 0.2, 0.4, 0.6, 0.8, 0.9)
NOT_TEXT = (None, 7, 1.5, True, [], ["a"], {}, {"a": 1}, float("nan"))


def encoded(suffix: str, size: tuple[int, int] = (48, 40)) -> bytes:
    """An image of noise, so that nothing of it can be left out."""
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    made = io.BytesIO()
    Image.fromarray(noise).save(made, suffix)
    return made.getvalue()


def truncated() -> dict[str, bytes]:
    files = {}
    for suffix in FORMATS:
        data = encoded(suffix)
        for cut in CUTS:
            files[f"cut-{cut}.{suffix}"] = data[: int(cut * len(data)) if isinstance(cut, float) else cut]
    return files


def flipped(count: int) -> dict[str, bytes]:
    """Images with eight flipped bits each; some of them can still be decoded."""
    draw, files = random.Random(0), {}
    for i in range(count):
        data = bytearray(encoded(FORMATS[i % len(FORMATS)]))
        for _ in range(8):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        files[f"flipped-{i}.{FORMATS[i % len(FORMATS)]}"] = bytes(data)
    return files


def bombs() -> dict[str, bytes]:
    """Small files that want much memory."""
    spaces = zlib.compress(b" " * 150_000_000)
    pixels = zlib.compress(b"\0" * 13 * 4)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", b"\0" * 50_000_000)
    wide = Image.new("1", (20_000, 20_000))
    made = {}
    for suffix in ("png", "tiff"):
        out = io.BytesIO()
        wide.save(out, suffix, **({"compression": "group4"} if suffix == "tiff" else {}))
        made[f"wide.{suffix}"] = out.getvalue()
    return made | {
        "zip.png": packed.getvalue(),
        "zip.zip": packed.getvalue(),
        "text.png": png(4, (b"zTXt", b"k\0\0" + spaces), (b"IDAT", pixels)),
        "itext.png": png(4, (b"iTXt", b"k\0\1\0\0\0" + spaces), (b"IDAT", pixels)),
        "late.png": png(4, (b"IDAT", pixels), (b"zTXt", b"k\0\0" + spaces)),
        "profile.png": png(4, (b"iCCP", b"k\0\0" + spaces), (b"IDAT", pixels)),
        "header.png": png(2**31 - 1, (b"IDAT", pixels)),
        "screen.gif": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0xF7, 0, 0) + b"\0" * 800,
        "header.bmp": b"BM" + struct.pack("<IIIIiiHHIIiiII", 99, 0, 54, 40, 2**30, 2**30, 1, 24, 0, 0, 0, 0, 0, 0),
        "header.ppm": b"P6 100000 100000 255\n\0\0\0",
        "header.tiff": tiff(2**20, 2**20),
        "negative.bmp": b"BM" + struct.pack("<IIIIiiHHIIiiII", 99, 0, 54, 40, -9, -9, 1, 24, 0, 0, 0, 0, 0, 0),
    }


def odd_sizes() -> dict[str, bytes]:
    sizes = [(1, 1), (1, 2), (2, 1), (1, 64), (64, 1), (2, 102), (200, 3), (20_000, 2), (2, 20_000), (20_000, 300)]
    return {
        f"{w}x{h}.{suffix}": encoded(suffix, (w, h))
        for w, h in sizes
        for suffix in ("png", "bmp", "webp")
        if suffix != "webp" or max(w, h) < 16_000
    }


def no_images() -> dict[str, bytes]:
    other = {suffix: encoded(suffix) for suffix in ("eps", "ico", "pcx", "tga", "pdf", "jpeg2000")}
    draw = random.Random(1)
    return {
        "text.jpg": b"What is this?\n",
        "html.jpg": b"<html><body>404 not found</body></html>",
        "svg.png": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script/></svg>',
        "pickle.png": b"\x80\x04\x95\x0c\0\0\0\0\0\0\0\x8c\x05posix\x94.",
        "script.jpg": b"#!/bin/sh\ntouch /tmp/never\n",
        **{f"{suffix}.jpg": data for suffix, data in other.items()},
        **{f"noise-{i}.png": draw.randbytes(50 * i) for i in range(1, 9)},
    }


def names_of_nothing(folder: Path, outside: Path) -> list[str]:
    """Make links, pipes and folders, and return names that must not be opened."""
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()
    (folder / "link.png").symlink_to(outside / "canary.png")
    (folder / "relative.png").symlink_to(os.path.relpath(outside / "canary.png", folder))
    (folder / "away").symlink_to(outside)
    (folder / "twice.png").symlink_to("link.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "dangling.png").symlink_to("none.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    ups = ["../" * depth + "etc/passwd" for depth in range(1, 12)]
    return [
        *("pipe.png", "folder.png", "link.png", "relative.png", "away/canary.png", "twice.png", "loop.png", "zero.png"),
        *("dangling.png", "none.png", "", ".", "..", "/", "./.", "folder.png/x.png", "pipe.png/x", "~/a.png", "$HOME"),
        *(
            "/etc/passwd",
            "//etc/passwd",
            "/dev/zero",
            "/dev/stdin",
            "/dev/fd/0",
            "/proc/self/environ",
            "/proc/self/mem",
        ),
        *(str(outside / "canary.png"), f"../{outside.name}/canary.png", f"folder.png/../../{outside.name}/canary.png"),
        *(f"file://{outside}/canary.png", "http://localhost/a.png", "C:\\a.png", "\\\\host\\a.png", "|id", "`id`", "-"),
        *(*ups, "a" * 5000, "a/" * 2500, "a\0.png", "\0", "\ud800.png", "a\n.png", "\x1b[2J.png", "%2e%2e/canary.png"),
    ]


def questions() -> list[str]:
    """Questions that cannot be asked."""
    controls = [chr(code) for code in (*range(9), 11, 12, *range(14, 32), 127, 128, 159)]
    return [
        *("", " ", "\n\t ", "\u3000", "<image>", "what <image> ?", "a" * 100_000, "what is this ? " * 10_000),
        *("\ud800", "what is \udfff ?", "\udc80\ud800", "".join(controls), "what\x1b[31m is this ?"),
        *(f"what is {letter} ?" for letter in controls),
    ]


def records() -> list[object]:
    """Objects, and other values, that are no record; those that are one lack the id."""
    good = {"image": "good.png", "question": "what is this ?", "answer": "red", "task": "what"}
    wrong = [good | {field: value} for field in ("image", "question") for value in NOT_TEXT]
    wrong += [{k: v for k, v in good.items() if k != field} for field in ("image", "question")]
    wrong += [good | {"answer": value} for value in ([], ["red"], {}, {"a": 1})]
    wrong += [good | {"answer": text} for text in ("a" * 10_001, "\ud800", "\x07")]
    wrong += [good | {"task": value} for value in (7, ["what"], {"a": 1}, True, "t" * 300, "\0", "\udcff")]
    return wrong


def lines() -> list[bytes]:
    """Lines whose id cannot be read or used."""
    good = {"image": "good.png", "question": "what is this ?"}
    ids = ("", " ", "a" * 257, "a\0", "\ud800", "\x1b[31m", "a\x7f", "g00", *NOT_TEXT[1:])
    texts = [json.dumps(good | {"id": i}) for i in ids] + [json.dumps(value) for value in NOT_TEXT] + [json.dumps(good)]
    texts += ["{", "}", "{]", "'id'", '{"id": "x"', '{"id" "x"}', "\\", "null,", '{"id": 0x10}', "[" * 50_000, "<html>"]
    return [*(text.encode() for text in texts), b"\xff\xfe", b'{"id": "\xe9"}', b"\0", "{}".encode("utf-16")]


def png(side: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file of any chunks."""
    made = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)), *chunks, (b"IEND", b"")):
        made += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return made


def tiff(width: int, height: int) -> bytes:
    """A TIFF file with 8,000 tags that all claim the same 90 kB."""
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    tags += [(1000 + i, 7, 90_000, 8) for i in range(8_000)]
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
