"""Edges and windows are read as written, or refused."""

import pytest

from extraction.passes.edges import Knockout, describe_condition, parse_edges, parse_windows


def test_edges():
    assert parse_edges("image-question, image-last") == (("image", "question"), ("image", "last"))


@pytest.mark.parametrize("text", ["image", "image-image", "picture-question", "image-question-last", ""])
def test_bad_edges(text):
    with pytest.raises(ValueError, match="pairs of two different groups"):
        parse_edges(text)


def test_windows():
    assert parse_windows("all", 8) == [(0, 7, True)]
    assert parse_windows("0-2, 5", 8) == [(0, 2, False), (5, 5, False)]
    assert parse_windows("all,sliding:1,0-2,0-0", 2 + 1) == [
        (0, 2, True),
        (0, 0, False),
        (1, 1, False),
        (2, 2, False),
        (0, 2, False),
    ]


def test_sliding_windows_are_those_of_the_field():
    for width in (1, 2, 3, 7):
        expected = [(max(0, at - width // 2), min(8, at + -(-width // 2)) - 1) for at in range(8)]
        assert [(first, last) for first, last, _ in parse_windows(f"sliding:{width}", 8)] == expected


@pytest.mark.parametrize("text", ["0-8", "3-1", "x", "sliding:0", "-1", "0-2;3"])
def test_bad_windows(text):
    with pytest.raises(ValueError, match="0-7"):
        parse_windows(text, 8)


def test_names_and_labels():
    cut = Knockout(edges=(("image", "question"),), first=0, last=2)
    assert cut.name == "image-question@0-2"
    assert cut.label == "Image→Question cut, layers 0–2"
    assert describe_condition(cut)["first"] == 0
    assert describe_condition(None)["name"] == "baseline"


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"first": 0, "last": 1}, "either edges, or a mask"),
        ({"first": 0, "last": 1, "edges": (("image", "question"),), "title": "x"}, "either edges, or a mask"),
        ({"first": 0, "last": 1, "mask": lambda groups: None}, "either edges, or a mask"),
        ({"first": 0, "last": 1, "mask": lambda groups: None, "title": "../x"}, "title names a folder"),
        ({"first": 2, "last": 1, "edges": (("image", "question"),)}, "first <= last"),
        ({"first": 0, "last": 1, "edges": (("image", "image"),)}, "two different groups"),
    ],
)
def test_knockouts_that_make_no_sense(fields, match):
    with pytest.raises(ValueError, match=match):
        Knockout(**fields)
