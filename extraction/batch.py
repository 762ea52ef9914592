"""From samples to the tensors of one forward pass."""

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from extraction.datasets.sample import Sample
from extraction.errors import SampleError
from extraction.images import open_image
from extraction.models import VisionLanguageModel
from extraction.prompts import Prompt, render_prompt
from extraction.spans import TokenGroups, find_groups


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """One sample that is ready for the model.

    Attributes:
        sample: The sample.
        prompt: Its prompt.
        image: Its image, RGB.
    """

    sample: Sample
    prompt: Prompt
    image: Image.Image


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Inputs of one forward pass, on the model's device.

    Attributes:
        inputs: What the model takes.
        groups: Masks of the five token groups.
    """

    inputs: dict[str, torch.Tensor]
    groups: TokenGroups

    @property
    def length(self) -> int:
        """Padded length."""
        return self.groups.positions


def prepare_sample(sample: Sample, template: str) -> Prepared:
    """Render the prompt and open the image.

    Raises:
        SampleError: If the record cannot be used, the question is empty, or the image cannot be read.
    """
    if sample.problem is not None:
        raise SampleError("record", sample.problem)
    return Prepared(sample=sample, prompt=render_prompt(template, sample.question), image=open_image(sample))


def make_batch(vlm: VisionLanguageModel, prepared: list[Prepared]) -> Batch:
    """Run the processor, with padding on the left, and locate the token groups.

    Raises:
        SampleError: If a prompt lacks image or question tokens, or is too long for the model.
    """
    encoded: Any = vlm.processor(
        images=[p.image for p in prepared],
        text=[p.prompt.text for p in prepared],
        padding=True,
        return_tensors="pt",
        return_offsets_mapping=True,
    )
    groups = find_groups(
        [p.prompt for p in prepared],
        encoded["input_ids"],
        encoded["attention_mask"],
        torch.as_tensor(encoded["offset_mapping"]),
        vlm.image_token_id,
    )
    longest = encoded["attention_mask"].sum(dim=1).max()
    if longest > vlm.max_positions:
        raise SampleError(
            "length", f"{longest} tokens are more than the model's {vlm.max_positions}: shorten the question"
        )
    wanted = ("input_ids", "attention_mask", "pixel_values", "image_sizes")
    inputs = {name: encoded[name].to(vlm.device) for name in wanted if name in encoded}
    inputs["pixel_values"] = inputs["pixel_values"].to(vlm.model.dtype)
    return Batch(inputs=inputs, groups=groups.to(vlm.device))
