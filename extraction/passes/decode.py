"""Greedy answers, token by token, from where a pass over the prompts ended."""

from itertools import takewhile
from typing import Any

import torch

from extraction.model.load import VisionLanguageModel
from extraction.passes.knockout import mask_in_form
from extraction.passes.prompt_pass import PromptPass, to_cache


def answer(
    vlm: VisionLanguageModel, prompts: PromptPass, max_new_tokens: int, visible: torch.Tensor | None = None
) -> list[str]:
    """Take the most likely token again and again, until the end mark or the longest answer.

    The text is that of `generate(do_sample=False)` without the options that a checkpoint's generation settings may add
    (penalties on repetition, forced tokens): greedy in the plain sense.

    Args:
        vlm: The model.
        prompts: The pass over the prompts. Knockouts end at the prompt: what was cut in it reaches the new tokens
            through keys and values.
        max_new_tokens: Longest answer.
        visible: What the new tokens may read of the prompts, (batch, positions); all if not given.

    Returns:
        One text a row, without special tokens and blanks around it.
    """
    tokenizer = vlm.processor.tokenizer
    known: Any = vlm.model.generation_config.eos_token_id
    known = tokenizer.eos_token_id if known is None else known
    end = torch.tensor([known] if isinstance(known, int) else list(known or []), device=prompts.logits.device)
    tokens = [prompts.logits.argmax(dim=-1)]
    is_done = torch.isin(tokens[0], end)
    cache, is_token = to_cache(prompts.memory), prompts.groups.is_token if visible is None else visible
    position = prompts.positions[..., -1:]
    while len(tokens) < max_new_tokens and not is_done.all():
        position = position + 1
        is_token = torch.cat([is_token, is_token.new_ones(len(is_token), 1)], dim=1)
        embedded = vlm.model.get_input_embeddings()(tokens[-1][:, None])
        hidden = vlm.decoder(
            inputs_embeds=embedded,
            # Every visible token before, however the row is padded: a sliding window would count the padding.
            attention_mask=mask_in_form(vlm, is_token[:, None, None, :], embedded.dtype).to(embedded.device),
            position_ids=position.to(embedded.device),
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        tokens.append(vlm.logits(hidden[:, -1]).argmax(dim=-1).to(end.device))
        is_done |= torch.isin(tokens[-1], end)
    ends = set(end.tolist())
    answers = [takewhile(lambda token: token not in ends, row) for row in torch.stack(tokens, dim=1).tolist()]
    return [tokenizer.decode(list(row), skip_special_tokens=True).strip() for row in answers]
