"""Parsers of generated answers. Each says ok, ambiguous or none; nothing falls back to a default choice."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bioinstruct.tasks.base import ParseState

LETTERS = "ABCDE"

_STATED = re.compile(
    r"(?i:\b(?:answer|option|choice)\b(?:\s+(?:is|would be|should be))?)\s*:?\s*"
    r"(?i:option\s*)?\(?([A-E])\b\)?"
)
_JSON_CHOICE = re.compile(r'"answer_choice"\s*:\s*"?\(?([A-E])\b')
_LEADING = re.compile(r"^\W*(?i:(?:option|choice)\s+)?\(?([A-E])(?:[).:,\n]|\s*$)")
_STATUS = re.compile(r"^(.+?)\s*[-–(:]\s*(active|discontinued|neither)\b\)?$", re.IGNORECASE)
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s*")


def parse_choice(text: str, *, options: Sequence[str], labels: Sequence[str] = ()) -> tuple[int, ParseState]:
    """(index, state) of a written answer; index −1 unless the state is ok.

    A JSON `answer_choice` (protocol mirage) counts first. With `labels` (yes, no, maybe) the answer is the
    label it begins with, or the only one it mentions. Otherwise it is a leading letter ("B", "(B)", "B.
    text"), a stated one ("the answer is B"), or the only option whose text it holds. Several different
    candidates are `ambiguous`, no candidate is `none`.
    """
    stated = {LETTERS.index(letter) for letter in _JSON_CHOICE.findall(text)} & set(range(len(options)))
    if stated:
        found = stated
    elif labels:
        found = _mentioned_labels(text, labels)
    else:
        found = _letters(text, len(options)) or _mentioned_options(text, options)
    if len(found) == 1:
        return found.pop(), "ok"
    return -1, "ambiguous" if found else "none"


def _mentioned_labels(text: str, labels: Sequence[str]) -> set[int]:
    words = re.findall(r"\w+", text.lower())
    lowered = [label.lower() for label in labels]
    if words and words[0] in lowered:
        return {lowered.index(words[0])}
    return {lowered.index(word) for word in words if word in lowered}


def _letters(text: str, num_options: int) -> set[int]:
    leading = _LEADING.match(text)
    letters = {leading.group(1)} if leading else set(_STATED.findall(text))
    return {LETTERS.index(letter) for letter in letters if LETTERS.index(letter) < num_options}


def _mentioned_options(text: str, options: Sequence[str]) -> set[int]:
    """Options whose whole text stands in the answer; a part of a longer match does not count."""
    folded = " ".join(text.casefold().split())
    wanted = [" ".join(option.casefold().split()).rstrip(".") for option in options]
    held = {k for k, option in enumerate(wanted) if option and re.search(rf"(?<!\w){re.escape(option)}(?!\w)", folded)}
    return {k for k in held if not any(k != j and wanted[k] in wanted[j] and wanted[k] != wanted[j] for j in held)}


def parse_entities(text: str, *, types: Sequence[str]) -> tuple[list[tuple[str, str]], ParseState]:
    """Entities of an answer written one per line as `Type: text`, or `None`.

    `ok`: every line is one of the two; `ambiguous`: some lines are, and those count; `none`: no line is.
    """
    by_name = {name.casefold(): name for name in types}
    entities: list[tuple[str, str]] = []
    num_lines = num_understood = 0
    for line in text.splitlines():
        line = _BULLET.sub("", line).strip()
        if not line:
            continue
        num_lines += 1
        name, colon, surface = line.partition(":")
        if line.rstrip(".").casefold() == "none":
            num_understood += 1
        elif colon and surface.strip() and name.strip().casefold() in by_name:
            num_understood += 1
            entities.append((by_name[name.strip().casefold()], surface.strip()))
    if not num_understood:
        return [], "none"
    return entities, "ok" if num_understood == num_lines else "ambiguous"


def format_entities(entities: Sequence[tuple[str, str]]) -> str:
    """Entities in the answer format that `parse_entities` reads."""
    return "\n".join(f"{name}: {surface}" for name, surface in entities) or "None"


def parse_statuses(text: str) -> tuple[list[tuple[str, str]], ParseState]:
    """(status, medication) pairs of a bulleted list such as `- aspirin (active)` or `- aspirin: active`.

    `ok`: every line is one or `None`; `ambiguous`: some lines are, and those count; `none`: no line is.
    """
    pairs: list[tuple[str, str]] = []
    num_lines = num_understood = 0
    for line in text.splitlines():
        line = _BULLET.sub("", line).strip().rstrip(".")
        if not line:
            continue
        num_lines += 1
        found = _STATUS.match(line)
        num_understood += found is not None or line.casefold() == "none"
        if found:
            pairs.append((found.group(2).lower(), found.group(1).strip(" \"'*")))
    if not num_understood:
        return [], "none"
    return pairs, "ok" if num_understood == num_lines else "ambiguous"


def parse_phrase(text: str) -> tuple[str, ParseState]:
    """The phrase that the first line of an answer names, without quotes; what follows "refers to" in it."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    phrase = re.split(r"\brefers? to\b", line)[-1].strip(" .:\"'“”")
    return phrase, "ok" if phrase else "none"
