"""Load the processor of a checkpoint, with the image processor that it names."""

from typing import Any

import numpy as np
import transformers
from PIL import Image

from extraction import image_only
from extraction.checked import Checked
from extraction.families import Family

# Images are processed by Pillow everywhere, so that states do not depend on whether torchvision is installed.
_BY_PILLOW = {"backend": "pil"} if hasattr(transformers, "CLIPImageProcessorPil") else {"use_fast": False}
_OWN_PREFIX = "ImageOnly"
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
        _refuse_another(path, family, options)
        image_processor = transformers.AutoImageProcessor.from_pretrained(path, **_BY_PILLOW, **options)
        processor = _class_of(family).from_pretrained(path, image_processor=image_processor, **options)
    except (OSError, ValueError, TypeError, ImportError) as error:
        raise ValueError(
            f"model {path!r} has no processor that loads: {str(error).strip().splitlines()[0]} Copy the processor "
            "files of the original checkpoint into it: processor_config.json or preprocessor_config.json, "
            "tokenizer.json, tokenizer_config.json."
        ) from error
    return processor, _compare(path, processor, options)


def probe_image() -> Image.Image:
    """Draw an image for tests of a processor: slopes and edges, wider than high."""
    across, down = np.meshgrid(np.arange(_TEST_WIDTH), np.arange(_TEST_HEIGHT))
    channels = (across * 2, down * 4, 255 * ((across // 16 + down // 12) % 2))
    return Image.fromarray(np.stack(channels, axis=-1).clip(0, 255).astype(np.uint8))


def _class_of(family: Family) -> Any:
    name = family.processor_class
    return getattr(image_only, name, None) or getattr(transformers, name)


def _refuse_another(path: str, family: Family, options: dict[str, Any]) -> None:
    """Refuse a checkpoint that names a processor of another class than its family's.

    Raises:
        ValueError: If it does.
        OSError: If a file cannot be read.
    """
    saved, _ = transformers.ProcessorMixin.get_processor_dict(path, **options)
    if not saved.get("processor_class"):
        saved, _ = transformers.ImageProcessingMixin.get_image_processor_dict(path, **options)
    named, wanted = saved.get("processor_class"), family.processor_class.removeprefix(_OWN_PREFIX)
    if named and named.removeprefix(_OWN_PREFIX) != wanted:
        raise ValueError(
            f"it names {named}, and models of the family {family.title} are extracted with {wanted}, whose prompts and "
            "pixels differ."
        )


def _compare(path: str, processor: Any, options: dict[str, Any]) -> Checked:
    """Compare classes and pixels with those of `AutoProcessor`, where it can be made."""
    own = type(processor.image_processor).__name__
    try:
        auto = transformers.AutoProcessor.from_pretrained(path, **_BY_PILLOW, **options)
    except (OSError, ValueError, TypeError, ImportError) as error:
        why = str(error).strip().splitlines()[0]
        return Checked(subject="image processor", finding=f"{own}; AutoProcessor cannot be made here ({why})")
    if getattr(auto, "image_processor", None) is None:
        return Checked(subject="image processor", finding=f"{own}; AutoProcessor cannot be made here")
    ours, theirs = (one.image_processor(probe_image(), return_tensors="np") for one in (processor, auto))
    for name, value in theirs.items():
        if name not in ours or np.shape(ours[name]) != np.shape(value) or not np.array_equal(ours[name], value):
            raise ValueError(
                f"model {path!r}: {own} gives other {name} on a test image than AutoProcessor with "
                f"{type(auto.image_processor).__name__}. Use another version of transformers, or name one image "
                "processor in all of the checkpoint's files."
            )
    return Checked(subject="image processor", finding=f"{own}; on a test image all values equal those of AutoProcessor")
