"""Processors that differ from those of transformers: without videos they need no torchvision, and add no text.

Their names are those of transformers with a prefix.
"""

from typing import Any

import transformers
from transformers.processing_utils import ProcessorMixin

PREFIXES = ("ImageOnly", "Plain")


def original_name(name: str) -> str:
    """Return the name that a class has in transformers."""
    return next((name.removeprefix(prefix) for prefix in PREFIXES if name.startswith(prefix)), name)


class _WithoutVideos:
    """A processor of images and videos without its video part, which needs torchvision.

    What the parent is given as a video processor, nothing or the settings saved with a checkpoint, is no part of it.
    """

    attributes = ("image_processor", "tokenizer")  # of transformers 4, where `get_attributes` does not exist

    @classmethod
    def get_attributes(cls) -> list[str]:
        """Name the parts that are loaded and saved."""
        return list(cls.attributes)


class ImageOnlyQwen2VLProcessor(_WithoutVideos, transformers.Qwen2VLProcessor):
    """The processor of Qwen2-VL without its video part."""


class ImageOnlyQwen2_5_VLProcessor(_WithoutVideos, transformers.Qwen2_5_VLProcessor):  # noqa: N801 - as its parent
    """The processor of Qwen2.5-VL without its video part."""


class ImageOnlyQwen3VLProcessor(_WithoutVideos, transformers.Qwen3VLProcessor):
    """The processor of Qwen3-VL without its video part."""


class ImageOnlyInternVLProcessor(_WithoutVideos, transformers.InternVLProcessor):
    """The processor of InternVL without its video part."""


class ImageOnlyLlavaOnevisionProcessor(_WithoutVideos, transformers.LlavaOnevisionProcessor):
    """The processor of LLaVA-OneVision without its video part."""


class ImageOnlySmolVLMProcessor(_WithoutVideos, transformers.SmolVLMProcessor):
    """The processor of SmolVLM2 without its video part, which needs num2words too."""

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        image_seq_len: int = 169,
        chat_template: str | None = None,
        **unused: Any,
    ) -> None:
        """Set what the parent sets; `unused` takes the video processor of a saved configuration."""
        self.fake_image_token = getattr(tokenizer, "fake_image_token", "<fake_token_around_image>")
        self.image_token = getattr(tokenizer, "image_token", "<image>")
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.end_of_utterance_token = getattr(tokenizer, "end_of_utterance_token", "<end_of_utterance>")
        self.global_image_token = getattr(tokenizer, "global_image_token", "<global-img>")
        self.image_seq_len = image_seq_len
        self.video_token = getattr(tokenizer, "video_token", "<video>")
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)


class ImageOnlyPixtralProcessor(ProcessorMixin):
    """The processor of Pixtral and Mistral 3, whose own file cannot be imported without torchvision.

    An image becomes rows of image tokens, each ended by the mark of a line, and the last one by that of the image.
    """

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        patch_size: int = 16,
        spatial_merge_size: int = 1,
        chat_template: str | None = None,
        image_token: str = "[IMG]",
        image_break_token: str = "[IMG_BREAK]",
        image_end_token: str = "[IMG_END]",
        **unused: Any,
    ) -> None:
        """Set the size of what becomes a token, and the marks."""
        super().__init__(image_processor, tokenizer, chat_template=chat_template)
        self.patch_size, self.spatial_merge_size = patch_size, spatial_merge_size
        self.image_token, self.image_break_token, self.image_end_token = image_token, image_break_token, image_end_token
        self.image_token_id = tokenizer.convert_tokens_to_ids(image_token)

    def _process_images(self, images: Any, **images_kwargs: Any) -> Any:
        return super()._process_images(images, **images_kwargs | {"patch_size": self._side})

    def replace_image_token(self, image_inputs: dict[str, Any], image_idx: int, **unused: Any) -> str:
        """Write the tokens of an image."""
        height, width = (int(pixels) // self._side for pixels in image_inputs["image_sizes"][image_idx])
        row = self.image_token * width
        return self.image_break_token.join([row] * height) + self.image_end_token

    @property
    def _side(self) -> int:
        """Pixels along the side of what becomes a token."""
        return self.patch_size * self.spatial_merge_size


class PlainPaliGemmaProcessor(transformers.PaliGemmaProcessor):
    """The processor of PaliGemma, which writes the prompt as it is given.

    The original puts the mark of the beginning after the image and a line break at the end: here both are part of the
    template, so that the text is known.
    """

    def prepare_inputs_layout(self, images: Any = None, text: Any = None, **kwargs: Any) -> Any:
        """Make lists of images and texts."""
        return ProcessorMixin.prepare_inputs_layout(self, images=images, text=text, **kwargs)
