"""With which token a model begins an answer: candidates from the gold answers of a store."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from extraction.datasets.sample import normalize_answer
from extraction.model.tokens import WHOLE_TEXT
from pid_jax.store.readout import Candidate


def find_candidates(columns: Mapping[str, np.ndarray], tokenizer: Any, prompt: str, gap: str) -> tuple[Candidate, ...]:
    """List the tokens that begin the gold answers, in rising order.

    Args:
        columns: Columns of a store: gold, predicted, correct.
        tokenizer: The model's.
        prompt: A prompt; how it ends decides how an answer is tokenized.
        gap: What stands between prompt and answer, see `gaps`.
    """
    answers: dict[int, list[str]] = {}
    for answer, text in spell_answers(columns).items():
        token = first_token(tokenizer, prompt, gap, text)
        if token is not None:
            answers.setdefault(token, []).append(answer)
    return tuple(
        Candidate(token=token, text=tokenizer.convert_ids_to_tokens(token), answers=tuple(sorted(answers[token])))
        for token in sorted(answers)
    )


def spell_answers(columns: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Return each gold answer, normalized, with the spelling of it that the model uses.

    Data may say "red" where a model says "Red", which is another token: the spelling is that of most answers that
    count as right. An answer that never was right begins with a capital if most right ones do where the data do not.
    """
    golds: dict[str, str] = {}
    said: dict[str, Counter[str]] = {}
    is_raised: list[bool] = []
    for gold, predicted, correct in zip(*(columns[name] for name in ("gold", "predicted", "correct")), strict=True):
        answer = normalize_answer(gold)
        if not answer:
            continue
        golds.setdefault(answer, gold.strip())
        if correct:
            said.setdefault(answer, Counter())[str(predicted)] += 1
            is_raised.append(predicted[0] == gold.strip()[0].upper() != gold.strip()[0])
    raises = sum(is_raised) > len(is_raised) / 2
    unsaid = {answer: gold[0].upper() + gold[1:] if raises else gold for answer, gold in golds.items()}
    return unsaid | {answer: max(sorted(counts), key=counts.__getitem__) for answer, counts in said.items()}


def gaps(prompt: str) -> tuple[str, str]:
    """Return what may stand between a prompt and an answer, the likely one first: a blank, unless there is one."""
    return ("", " ") if prompt[-1].isspace() else (" ", "")


def first_token(tokenizer: Any, prompt: str, gap: str, answer: str) -> int | None:
    """Return the first token in which a prompt with an answer departs from the prompt alone.

    None if there is none, or the tokenizer does not know it.
    """
    alone, whole = (
        tokenizer(text, add_special_tokens=False, **WHOLE_TEXT)["input_ids"] for text in (prompt, prompt + gap + answer)
    )
    new = next((token for i, token in enumerate(whole) if i >= len(alone) or token != alone[i]), None)
    return None if new == tokenizer.unk_token_id else new


def gold_tokens(tokenizer: Any, prompt: str, gold: str | None) -> tuple[int, ...]:
    """List the tokens that begin a gold answer as the data spell it, and with the case of its first letter changed.

    Data may say "red" where a model says "Red". What stands between prompt and answer is the likely one of `gaps`.

    Args:
        tokenizer: The model's.
        prompt: The prompt of the sample.
        gold: Its gold answer; None or empty where there is none.

    Returns:
        One token or two different ones in rising order; none without an answer or if the tokenizer knows neither.
    """
    answer = (gold or "").strip()
    if not answer:
        return ()
    found = {
        first_token(tokenizer, prompt, gaps(prompt)[0], one) for one in (answer, answer[0].swapcase() + answer[1:])
    }
    return tuple(sorted(token for token in found if token is not None))
