"""When a generated answer counts as right."""


def normalize_answer(text: str) -> str:
    """Bring an answer to the form in which it is compared: stripped, lower case, no final period."""
    return text.strip().lower().removesuffix(".").strip()


def is_correct(predicted: str, gold: str | None) -> bool:
    """Whether an answer equals the gold answer; never where there is none."""
    return bool(gold) and normalize_answer(predicted) == normalize_answer(str(gold))
