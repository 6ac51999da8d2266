from __future__ import annotations

import pytest

from bioinstruct.tasks.answers import format_entities, parse_choice, parse_entities

OPTIONS = ("Vitamin A", "Vitamin C", "Vitamin D", "Vitamin D3")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("B", (1, "ok")),
        (" (B)", (1, "ok")),
        ("B. Vitamin C", (1, "ok")),
        ("B: Vitamin A", (1, "ok")),
        ("Option C.", (2, "ok")),
        ("The correct answer is B, because of scurvy.", (1, "ok")),
        ("the answer is: (D) Vitamin D3", (3, "ok")),
        ("It is vitamin  C.", (1, "ok")),
        ("Vitamin D3 is lacking", (3, "ok")),
        ("The answer is A or the answer is B", (-1, "ambiguous")),
        ("Vitamin A and vitamin C", (-1, "ambiguous")),
        ("A 58-year-old needs rest", (-1, "none")),
        ("E", (-1, "none")),
        ("", (-1, "none")),
    ],
)
def test_letters_and_option_texts_are_found_or_nothing_is_chosen(text: str, expected: tuple[int, str]) -> None:
    assert parse_choice(text, options=OPTIONS) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes, it does; there is no doubt.", (0, "ok")),
        ("The answer is no.", (1, "ok")),
        ("It may be yes or no", (-1, "ambiguous")),
        ("Nobody knows", (-1, "none")),
    ],
)
def test_labels_are_read_as_words(text: str, expected: tuple[int, str]) -> None:
    assert parse_choice(text, options=("yes", "no", "maybe"), labels=("yes", "no", "maybe")) == expected


def test_entities_are_read_from_their_lines() -> None:
    text = "1. drug: aspirin\n* Effect: ulcer: deep\n\n"
    assert parse_entities(text, types=("Drug", "Effect")) == (
        [("Drug", "aspirin"), ("Effect", "ulcer: deep")],
        "ok",
    )
    assert parse_entities("None.", types=("Drug",)) == ([], "ok")
    assert parse_entities("Drug: a\nI think so", types=("Drug",)) == ([("Drug", "a")], "ambiguous")
    assert parse_entities("aspirin, ibuprofen", types=("Drug",)) == ([], "none")
    assert parse_entities("", types=("Drug",)) == ([], "none")


def test_gold_entities_survive_their_own_format() -> None:
    gold = [("Drug", "a: b"), ("Effect", "c")]
    assert parse_entities(format_entities(gold), types=("Drug", "Effect")) == (gold, "ok")
    assert parse_entities(format_entities([]), types=("Drug",)) == ([], "ok")
