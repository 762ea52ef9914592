"""Small pictures of questions' images for the page, where the image files are found."""

import base64
import importlib
import importlib.util
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MOST_THUMBNAILS = 24
# Not a dependency of pid_jax: whoever extracted states has it.
_PILLOW = "PIL.Image"
_SIDE, _QUALITY = 64, 70
_FOLDERS = (".", "images", "allImages/images")
_ENDINGS = ("", ".jpg", ".png", ".jpeg")


def find_image(name: str, data: Mapping[str, Any]) -> Path | None:
    """Find the file of an image.

    Args:
        name: The name that the store has for it, a path or without folder and ending.
        data: What a store's settings say about its data: `images`, `path`, `reader` and `split`.

    Returns:
        The file; None if it is nowhere.
    """
    folders = [Path(str(data[key])) / inner for key in ("images", "path") if data.get(key) for inner in _FOLDERS]
    if data.get("reader") == "easy-vqa":
        folders += _easy_vqa(str(data.get("split") or "test"))
    places = [folder / f"{name}{ending}" for folder in folders for ending in _ENDINGS]
    return next((path for path in (Path(name), *places) if name and path.is_file()), None)


def _easy_vqa(split: str) -> list[Path]:
    """Find the images that the package easy-vqa carries."""
    found = importlib.util.find_spec("easy_vqa")
    return [Path(found.origin).parent / "data" / split / "images"] if found is not None and found.origin else []


def has_pillow() -> bool:
    """Return whether images can be read."""
    return importlib.util.find_spec("PIL") is not None


def thumbnail(path: Path) -> str:
    """Return a small JPEG as a data URL; "" if the file cannot be read as an image."""
    images = importlib.import_module(_PILLOW)

    try:
        with images.open(path) as image:
            small = image.convert("RGB")
    except (OSError, ValueError):
        return ""
    small.thumbnail((_SIDE, _SIDE))
    content = io.BytesIO()
    small.save(content, format="JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
