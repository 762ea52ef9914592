"""How a model spells its answers, and with which token it begins them."""

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Metaspace
from transformers import PreTrainedTokenizerFast

from extraction.datasets.sample import is_correct
from extraction.model.answer_tokens import find_candidates, first_token, gaps, spell_answers


def columns(*rows: tuple[str, str]) -> dict[str, np.ndarray]:
    """Rows of (gold, predicted)."""
    gold, predicted = (np.array(values) for values in zip(*rows, strict=True))
    correct = np.array([is_correct(p, g) for g, p in rows])
    return {"gold": gold, "predicted": predicted, "correct": correct}


def test_answers_are_spelled_as_the_model_does():
    rows = [("red", "Red"), ("red", "Red."), ("red", "Red"), ("red", "red"), ("no", "No"), ("blue", "Yes"), ("", "Cat")]
    assert spell_answers(columns(*rows)) == {"red": "Red", "no": "No", "blue": "Blue"}
    assert spell_answers(columns(("red", "red"), ("blue", "no"), ("US", "us"), (".", "x"))) == {
        "red": "red",
        "blue": "blue",
        "us": "us",
    }
    assert spell_answers(columns(("Red", "no"), ("red", "no"))) == {"red": "Red"}, "the first, if it never was right"


@pytest.fixture(scope="module")
def metaspace():
    """A tokenizer that writes blanks into tokens, as that of Llama does."""
    pieces = ["<unk>", "▁", ":", "r", "e", "d", "R", "N", "o", "\n", "▁r", "▁R", "▁re", "▁red", "▁Re", "▁Red", "re"]
    merges = [("▁", "r"), ("▁r", "e"), ("▁re", "d"), ("▁", "R"), ("▁R", "e"), ("▁Re", "d"), ("r", "e")]
    words = Tokenizer(BPE({piece: i for i, piece in enumerate(pieces)}, merges, unk_token="<unk>"))
    words.pre_tokenizer = Metaspace(prepend_scheme="first", split=False)
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>")


def test_first_tokens_are_those_behind_the_prompt(metaspace):
    def first(prompt, answer, gap=None):
        token = first_token(metaspace, prompt, gaps(prompt)[0] if gap is None else gap, answer)
        return None if token is None else metaspace.convert_ids_to_tokens(token)

    assert first("o:", "red") == "▁red"
    assert first("o:", "Red") == "▁Red"
    assert first("o:", "red", gap="") == "re"
    assert first("o:\n", "red") == "re"
    assert first("o: ", "red") == "▁red", "no token of its own for a blank at the end"
    assert first("o:", "") == "▁"
    assert first("o:", "", gap="") is None
    assert first("o:\n", "xyz") is None, "unknown to the tokenizer"
    found = find_candidates(columns(("red", "Red"), ("redo", "x"), ("no", "No")), metaspace, "o:", " ")
    assert [(one.text, one.answers) for one in found] == [("▁", ("no",)), ("▁Red", ("red", "redo"))]
