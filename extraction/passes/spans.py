"""Which positions of a tokenized prompt belong to what."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from extraction.datasets.sample import Sample
from extraction.errors import SampleError, shown
from extraction.model.family import BIDIRECTIONAL_PROMPT, CAUSAL
from extraction.model.prompts import Prompt
from pid_jax.store.manifest import GROUPS

PADDING = -1


@dataclass(frozen=True)
class TokenGroups:
    """The group of every position of a batch.

    system: template before the question; image: image tokens; question: exactly the question's tokens; suffix: template
    after the question; last: the last position, whose state decides the answer. They partition what is no padding.

    Attributes:
        codes: Index into `GROUPS`, or `PADDING`: integers (batch, positions).
        attention: Which tokens attend to which, one of `extraction.model.families.ATTENTION_RULES`.
        samples: The sample of every row, for masks that differ between samples.
    """

    codes: torch.Tensor
    attention: str = CAUSAL
    samples: tuple[Sample, ...] = ()

    def mask(self, group: str) -> torch.Tensor:
        """Mark the positions of a group: booleans (batch, positions)."""
        return self.codes == GROUPS.index(group)

    @property
    def is_token(self) -> torch.Tensor:
        """Mark what is no padding."""
        return self.codes != PADDING

    @property
    def positions(self) -> int:
        """Padded length of the batch."""
        return self.codes.shape[1]

    @property
    def is_prefix(self) -> torch.Tensor:
        """Mark the positions up to the last image token, padding included, whose states do not depend on the question.

        None if the question comes before the image, or if all tokens attend to all.
        """
        if self.attention == BIDIRECTIONAL_PROMPT:
            return torch.zeros_like(self.is_token)
        until_image = self.mask("image").flip(1).cumsum(dim=1).flip(1) > 0
        return until_image & ~(self.mask("question") & until_image).any(dim=1, keepdim=True)

    @property
    def behind(self) -> torch.Tensor:
        """Count the tokens of each row behind its prefix, all of them if it has none: (batch,)."""
        return (self.is_token & ~self.is_prefix).sum(dim=1)

    def to(self, device: torch.device) -> "TokenGroups":
        """Move to a device."""
        return replace(self, codes=self.codes.to(device))


def find_groups(
    prompt: Prompt, input_ids: np.ndarray, offsets: np.ndarray, shift: int, image_token_id: int
) -> np.ndarray:
    """Locate the five groups in one tokenized prompt.

    The processor writes the image's tokens in the place of its mark before it tokenizes, so offsets count in that
    longer text.

    Args:
        prompt: What was tokenized.
        input_ids: Token ids (positions,).
        offsets: Character range of each token (positions, 2).
        shift: By how many characters the image's tokens lengthened the text.
        image_token_id: Id of the image tokens.

    Returns:
        Indices into `GROUPS`, (positions,).

    Raises:
        SampleError: If a prompt has no image token or no question token, or the question has no end.
    """
    is_image = input_ids == image_token_id
    if not is_image.any():
        raise SampleError("prompt", "the prompt has no image token: does the processor fit the model?")
    by = shift if prompt.is_image_first else 0
    start, end = offsets[:, 0], offsets[:, 1]
    is_question = (start < prompt.question_end + by) & (end > prompt.question_start + by) & (end > start) & ~is_image
    if not is_question.any():
        raise SampleError(
            "prompt",
            f"the tokenizer or the processor drops the question {shown(prompt.question)!r}, no token of it was found: "
            "check the processor, or leave the sample out",
        )
    if is_question[-1]:
        raise SampleError("prompt", "the last position belongs to the question: the template must go on after it")
    after = np.cumsum(is_question) > 0
    codes = np.where(after, GROUPS.index("suffix"), GROUPS.index("system"))
    codes[is_image] = GROUPS.index("image")
    codes[is_question] = GROUPS.index("question")
    codes[-1] = GROUPS.index("last")
    return codes.astype(np.int64)


def check_question(prompt: Prompt, plain: Mapping[str, Any], found: np.ndarray, tokenizer: Any) -> None:
    """Compare the tokens found for the question with those of the prompt as it is without a processor.

    Args:
        prompt: The prompt.
        plain: Its `input_ids` and `offset_mapping` by the tokenizer alone.
        found: Ids of the tokens found, (tokens,).
        tokenizer: The tokenizer, to write tokens as text.

    Raises:
        SampleError: If they differ: the processor changed the text, so that the tokens may be those of other text.
    """
    places = zip(plain["input_ids"], plain["offset_mapping"], strict=True)
    ids = [
        i for i, (start, end) in places if start < end and start < prompt.question_end and end > prompt.question_start
    ]
    if ids != found.tolist():
        raise SampleError(
            "prompt",
            f"the processor changes the question {shown(prompt.question)!r}, whose tokens read "
            f"{shown(tokenizer.decode(found))!r}: use a processor that leaves the text as it is",
        )
