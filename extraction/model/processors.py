"""Load the processor of a checkpoint, with the image processor that it names."""

from typing import Any

import numpy as np
import transformers
from PIL import Image
from transformers.processing_utils import ImagesKwargs, TextKwargs

from extraction.model import own_processors
from extraction.model.checks import Checked
from extraction.model.family import Family, find_class

# Images are processed by Pillow everywhere, so that states do not depend on whether torchvision is installed.
_BY_PILLOW = {"backend": "pil"} if hasattr(transformers, "CLIPImageProcessorPil") else {"use_fast": False}
# AutoProcessor of version 4 hands `use_fast` on to the tokenizer, which must be a fast one.
_BY_PILLOW_FOR_ALL = {name: value for name, value in _BY_PILLOW.items() if name != "use_fast"}
_TEST_WIDTH, _TEST_HEIGHT = 97, 61


def load_processor(path: str, family: Family, options: dict[str, Any]) -> tuple[Any, Checked]:
    """Load the processor of a checkpoint, and compare it with what transformers makes of the checkpoint itself.

    Args:
        path: Folder or id on the hub.
        family: The model's family.
        options: Options of `from_pretrained`: revision, local_files_only, trust_remote_code.

    Raises:
        ValueError: If it is not there, is of another class than the family's, or gives other pixels than
            `AutoProcessor`.
    """
    try:
        named = _named_class(path, options)
        image_processor = transformers.AutoImageProcessor.from_pretrained(path, **_BY_PILLOW, **options)
        kind = getattr(own_processors, family.processor_class, None) or find_class(family.processor_class)
        processor = kind.from_pretrained(path, image_processor=image_processor, **options)
    except (OSError, ValueError, TypeError, ImportError) as error:
        raise ValueError(
            f"model {path!r} has no processor that loads: {str(error).strip().splitlines()[0]} Copy the processor "
            "files of the original checkpoint into it: processor_config.json or preprocessor_config.json, "
            "tokenizer.json, tokenizer_config.json."
        ) from error
    named, wanted = (own_processors.original_name(one) for one in (named, family.processor_class.rpartition(":")[2]))
    if named not in ("", wanted):
        raise ValueError(
            f"model {path!r} names the processor {named}, and models of the family {family.title} are extracted with "
            f"{wanted}: their prompts and pixels differ. Use a checkpoint with the latter."
        )
    return processor, _compare(path, processor, options)


def handed_on(processor: Any) -> dict[str, Any]:
    """Return settings of the tokenizer that transformers hands on to the image processor, since their names are known.

    They come before the image processor's own.
    """
    names = getattr(getattr(processor.image_processor, "valid_kwargs", None), "__annotations__", {})
    names = {*names, *ImagesKwargs.__annotations__} - set(TextKwargs.__annotations__)
    return {name: value for name, value in processor.tokenizer.init_kwargs.items() if name in names}


def check_handed_on(processor: Any) -> list[Checked]:
    """Tell what the tokenizer's settings change about images; nothing if they change nothing."""
    found = handed_on(processor)
    listed = ", ".join(f"{name} {value!r}" for name, value in found.items())
    finding = f"{listed}, from the tokenizer's settings, come before the image processor's own"
    return [Checked(subject="tokenizer", finding=finding, is_notable=True)] if found else []


def probe_image() -> Image.Image:
    """Draw an image for tests of a processor: slopes and edges, wider than high."""
    across, down = np.meshgrid(np.arange(_TEST_WIDTH), np.arange(_TEST_HEIGHT))
    channels = (across * 2, down * 4, 255 * ((across // 16 + down // 12) % 2))
    return Image.fromarray(np.stack(channels, axis=-1).clip(0, 255).astype(np.uint8))


def _named_class(path: str, options: dict[str, Any]) -> str:
    """Read the class of the processor that a checkpoint names; empty if it names none."""
    saved, _ = transformers.ProcessorMixin.get_processor_dict(path, **options)
    if not saved.get("processor_class"):
        saved, _ = transformers.ImageProcessingMixin.get_image_processor_dict(path, **options)
    return saved.get("processor_class") or ""


def _compare(path: str, processor: Any, options: dict[str, Any]) -> Checked:
    """Compare what comes of an image with what `AutoProcessor` makes of it, where that can be made and uses Pillow."""
    own = type(processor.image_processor)

    def found(what: str) -> Checked:
        return Checked(subject="image processor", finding=f"{own.__name__}; {what}")

    try:
        auto = transformers.AutoProcessor.from_pretrained(path, **_BY_PILLOW_FOR_ALL, **options)
        other = type(auto.image_processor)
    except (OSError, ValueError, TypeError, ImportError, AttributeError) as error:
        return found(f"AutoProcessor, to compare, cannot be made here ({str(error).strip().splitlines()[0]})")
    if other is not own and other.__name__.removesuffix("Fast") == own.__name__:
        return found("AutoProcessor uses its variant with torchvision")
    ours, theirs = (
        one.image_processor(probe_image(), return_tensors="np", **handed_on(one)) for one in (processor, auto)
    )
    for name, value in theirs.items():
        if name not in ours or not np.array_equal(np.asarray(ours[name]), np.asarray(value)):
            raise ValueError(
                f"model {path!r}: {own.__name__} gives other {name} on a test image than AutoProcessor with "
                f"{other.__name__}. Use another version of transformers, or name one image processor in all of the "
                "checkpoint's files."
            )
    return found("values of a test image equal those of AutoProcessor")
