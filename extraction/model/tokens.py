"""How text becomes tokens: the whole of it, whatever a saved tokenizer or processor would cut, pad or split."""

from typing import Any

from extraction.model.checks import Checked

WHOLE_TEXT = {"padding": False, "truncation": False, "return_overflowing_tokens": False, "is_split_into_words": False}
"""Options for a tokenizer, and as `text_kwargs` for a processor. Without them the saved ones apply."""

_PROBE = "a"


def check_tokenizer(tokenizer: Any, rows: int, image_token_id: int, mark: str) -> list[Checked]:
    """Look for saved settings that change tokens, and override those that must not.

    Args:
        tokenizer: A fast tokenizer; special tokens are no longer split afterwards.
        rows: Rows of the model's embedding.
        image_token_id: Id of the image tokens in the model's configuration.
        mark: The text that stands for an image token.

    Returns:
        What was found of truncation, padding, added tokens and the vocabulary.

    Raises:
        ValueError: If the image's token is another one in the tokenizer, or lies outside of the embedding.
    """
    truncation = _saved_truncation(tokenizer)
    padding = tokenizer.backend_tokenizer.padding or tokenizer.init_kwargs.get("padding")
    tokenizer.split_special_tokens = False
    return [
        Checked(
            subject="truncation",
            finding=f"saved, {truncation}; not applied, prompts are never cut" if truncation else "none saved",
            is_notable=bool(truncation),
        ),
        Checked(
            subject="padding",
            finding=f"{'saved, not applied' if padding else 'none saved'}; batches are padded on the left and masked",
        ),
        _check_pad_token(tokenizer, rows),
        _check_added(tokenizer),
        _check_vocabulary(tokenizer, rows, image_token_id, mark),
    ]


def pad_token(tokenizer: Any, rows: int, image_token_id: int) -> int:
    """Choose the id that stands at padded positions: the tokenizer's if it has one that the model knows.

    Padded positions are masked, so any id does that is not the image's.
    """
    saved = tokenizer.pad_token_id
    if saved is not None and 0 <= saved < rows and saved != image_token_id:
        return saved
    return 0 if image_token_id != 0 else 1


def _saved_truncation(tokenizer: Any) -> str:
    """Say to how many tokens a prompt would be cut; empty if it would not."""
    backend, saved = tokenizer.backend_tokenizer.truncation or {}, tokenizer.init_kwargs
    length = backend.get("max_length", saved.get("max_length"))
    if length is None and saved.get("truncation"):
        length = tokenizer.model_max_length
    return "" if length is None else f"to {length} tokens"


def _check_pad_token(tokenizer: Any, rows: int) -> Checked:
    saved = tokenizer.pad_token_id
    if saved is None:
        finding = "none; another id stands at padded positions, which are masked"
    elif not saved < rows:
        finding = f"id {saved} is outside of the embedding; another stands at padded positions, which are masked"
    else:
        finding = f"{tokenizer.pad_token!r}, id {saved}"
    return Checked(subject="pad token", finding=finding)


def _check_added(tokenizer: Any) -> Checked:
    """Tell what the tokenizer puts around a prompt of its own accord."""
    plain, added = (tokenizer(_PROBE, add_special_tokens=adds, **WHOLE_TEXT)["input_ids"] for adds in (False, True))
    start = next((i for i in range(len(added) - len(plain) + 1) if added[i : i + len(plain)] == plain), 0)
    before, behind = added[:start], added[start + len(plain) :]
    if len(added) == len(plain):
        return Checked(subject="added tokens", finding="none")
    names = [" ".join(map(repr, tokenizer.convert_ids_to_tokens(ids))) for ids in (before, behind)]
    parts = [f"{name} {place} the prompt" for name, place in zip(names, ("before", "behind"), strict=True) if name]
    end = "; that behind it is the last position, whose state is recorded as `last`" if behind else ""
    return Checked(subject="added tokens", finding=f"{', '.join(parts)}{end}", is_notable=bool(behind))


def _check_vocabulary(tokenizer: Any, rows: int, image_token_id: int, mark: str) -> Checked:
    written = tokenizer.convert_tokens_to_ids(mark)
    if written != image_token_id:
        raise ValueError(
            f"processor and model do not fit: {mark!r} is token {written} of the tokenizer, and the model's "
            f"configuration has image_token_id {image_token_id}. Use the processor files of the same checkpoint."
        )
    if not 0 <= image_token_id < rows:
        raise ValueError(
            f"processor and model do not fit: the image token {mark!r} has the id {image_token_id}, and the embedding "
            f"of the model {rows} rows: call model.resize_token_embeddings({image_token_id + 1}) and save the model."
        )
    highest = max(tokenizer.get_vocab().values())
    finding = f"{len(tokenizer)} tokens, highest id {highest}; {rows} rows of the embedding"
    if highest >= rows:
        finding += f": a sample with a token of id {rows} or more is recorded as a failure"
    return Checked(subject="vocabulary", finding=finding, is_notable=highest >= rows)
