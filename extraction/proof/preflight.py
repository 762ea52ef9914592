"""What is looked at before a model is run on samples."""

from collections.abc import Callable, Iterable

import numpy as np
import torch

from extraction.datasets.sample import Sample
from extraction.model.checks import Checked
from extraction.model.load import VisionLanguageModel
from extraction.model.processors import probe_image
from extraction.passes.batch import make_batch
from extraction.passes.encode import Encoder, Prepared
from pid_jax.store.manifest import GROUPS

_QUESTION = "a"


class _Reached(Exception):  # noqa: N818 - it is no error
    """The first decoder block was reached: image tokens were replaced by features."""


def look_over(vlm: VisionLanguageModel) -> list[Checked]:
    """List what was found when the model was loaded, and whether its vision tower fits its processor.

    Raises:
        ValueError: If the tower makes another number of features than the processor writes tokens.
    """
    return [*vlm.checked, _check_image_tokens(vlm)]


def say_notable(checks: Iterable[Checked], say: Callable[[str], None]) -> None:
    """Say what is not as most checkpoints have it, a line each."""
    for check in checks:
        if check.is_notable:
            say(f"{check.subject}: {check.finding}.")


def _check_image_tokens(vlm: VisionLanguageModel) -> Checked:
    """Run a test image through the vision tower, up to the first decoder block."""
    image = probe_image()
    size = f"{image.width} x {image.height} pixels"
    encoded = Encoder.of(vlm, vlm.family.image_text).encode(f"{vlm.family.image_text}\n{_QUESTION}", image)
    is_image = encoded["input_ids"][0] == vlm.image_token_id
    count = int(is_image.sum())
    codes = np.where(is_image, GROUPS.index("image"), GROUPS.index("system"))
    sample = Sample(id="test image", image=image, question=_QUESTION, answer=None, task="")
    batch = make_batch(vlm, [Prepared.of(vlm.family, sample, encoded, codes)])

    def stop(*_: object) -> None:
        raise _Reached

    try:
        with vlm.layers[0].register_forward_pre_hook(stop), torch.inference_mode():
            vlm.model(**batch.inputs, use_cache=False, logits_to_keep=1)
    except _Reached:
        pass
    except torch.OutOfMemoryError:
        raise
    except (ValueError, RuntimeError, IndexError) as error:
        raise ValueError(
            f"processor and model do not fit: a test image of {size} becomes {count} image tokens, and the model "
            f"refuses it ({str(error).strip().splitlines()[0]}). Use the processor files of the same checkpoint."
        ) from error
    finding = f"{count} for a test image of {size}, as many as the model makes features of it"
    return Checked(subject="image tokens", finding=finding)
