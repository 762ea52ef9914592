"""Which positions of a tokenized prompt belong to what."""

from dataclasses import dataclass

import torch

from extraction.edges import GROUPS
from extraction.errors import SampleError
from extraction.prompts import IMAGE, Prompt


@dataclass(frozen=True, kw_only=True)
class TokenGroups:
    """Boolean masks (batch, positions) that partition the positions that are not padding.

    system: template before the question; image: image tokens; question: exactly the question's tokens; suffix: template
    after the question; last: the last position, whose state decides the answer.
    """

    system: torch.Tensor
    image: torch.Tensor
    question: torch.Tensor
    suffix: torch.Tensor
    last: torch.Tensor

    def to(self, device: torch.device) -> "TokenGroups":
        """Move all masks to a device."""
        return TokenGroups(**{name: getattr(self, name).to(device) for name in GROUPS})

    @property
    def positions(self) -> int:
        """Padded length of the batch."""
        return self.last.shape[1]


def find_groups(
    prompts: list[Prompt],
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    offsets: torch.Tensor,
    image_token_id: int,
) -> TokenGroups:
    """Locate the five groups in a batch of tokenized prompts.

    The processor writes one image mark for every image token before it tokenizes, so offsets count in that longer
    text: behind the image they are shifted by the end of the last image token minus the end of the mark in the prompt.

    Args:
        prompts: What was tokenized.
        input_ids: Token ids (batch, positions).
        attention_mask: 1 for tokens, 0 for padding.
        offsets: Character range of each token (batch, positions, 2).
        image_token_id: Id of the image tokens.

    Returns:
        The masks.

    Raises:
        SampleError: If a prompt has no image token or no question token.
    """
    is_token = attention_mask.bool()
    is_image = (input_ids == image_token_id) & is_token
    is_last = torch.zeros_like(is_token)
    is_last[torch.arange(len(prompts)), _last_position(is_token)] = True
    is_question = torch.stack(
        [_question_mask(prompt, offsets[i], is_image[i], is_token[i]) for i, prompt in enumerate(prompts)]
    )
    if (is_question & is_last).any():
        raise SampleError("prompt", "the last position belongs to the question: the template must go on after it")
    rest = is_token & ~is_image & ~is_question & ~is_last
    after = is_question.cumsum(dim=1) > 0
    return TokenGroups(system=rest & ~after, image=is_image, question=is_question, suffix=rest & after, last=is_last)


def _last_position(is_token: torch.Tensor) -> torch.Tensor:
    positions = torch.arange(is_token.shape[1], device=is_token.device)
    return (positions * is_token).argmax(dim=1)


def _question_mask(
    prompt: Prompt, offsets: torch.Tensor, is_image: torch.Tensor, is_token: torch.Tensor
) -> torch.Tensor:
    if not is_image.any():
        raise SampleError("prompt", "the prompt has no image token: does the processor fit the model?")
    mark_end = prompt.text.index(IMAGE) + len(IMAGE)
    is_behind = prompt.question_start >= mark_end
    shift = int(offsets[is_image][-1, 1]) - mark_end if is_behind else 0
    start, end = offsets[:, 0], offsets[:, 1]
    overlaps = (start < prompt.question_end + shift) & (end > prompt.question_start + shift) & (end > start)
    mask = overlaps & is_token & ~is_image
    if not mask.any():
        raise SampleError("prompt", f"no token of the question was found in {prompt.text!r}")
    return mask
