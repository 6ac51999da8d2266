"""The declared list of filters that a generated item passes, each with a reason for what it rejects.

Profile `alpaca` (conf/filters/alpaca.yaml) holds the published rules of Stanford Alpaca's generator
(generate_instruction.py, tatsu-lab/stanford_alpaca); profile `biomedical` mends what harms this domain. No
profile changes a text: capitalising a sentence would turn MRI into mri.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bioinstruct.building.similarity import Neighbour, SimilarityIndex
from bioinstruct.config.building import FiltersConfig
from bioinstruct.errors import UserError


class Item(NamedTuple):
    """One generated instruction with its input ("" for none) and output."""

    instruction: str
    input: str
    output: str


@dataclass(frozen=True)
class Rejection:
    """The filter that rejected an item, and why."""

    filter: str
    reason: str


Rule = Callable[[Item, FiltersConfig], str | None]
"""Gives the reason for rejecting an item, or None."""

MEDIA = r"(?:images?|pictures?|photos?|videos?|audio|files?|graphs?|diagrams?|flowcharts?|drawings?|music)"
ASKS_FOR_MEDIA = re.compile(
    rf"\b(?:attached|uploaded|shown|accompanying)\s+(?:\w+\s+)?{MEDIA}\b"
    rf"|\b(?:image|picture|photo|video|graph|diagram|flowchart)\s+(?:above|below|attached|shown)\b"
    rf"|\b(?:create|make|produce|generate|design|record|play|upload|open|download|watch|listen\s+to)\s+"
    rf"(?:an?\s+|the\s+|this\s+)?(?:[\w-]+\s+)?{MEDIA}\b"
    r"|\b(?:draw|sketch|plot)\s+(?:an?|the|this)\s+"
    r"(?!(?:\w+\s+)?(?:conclusions?|inferences?|comparisons?|parallels?|distinctions?|blood|sample))"
    r"|^go\s+to\b",
    re.IGNORECASE,
)
PLACEHOLDER = re.compile(
    r"\[(?:insert|your)\b[^\]]*\]"
    r"|<(?:insert|your|noinput)\b[^<>]*>|\blorem ipsum\b",
    re.IGNORECASE,
)
REFUSAL = re.compile(r"\bas an? (?:ai|artificial intelligence|large)?\s*language model\b|^i'?m sorry, but i can", re.I)


def _length(item: Item, config: FiltersConfig) -> str | None:
    words = len(item.instruction.split())
    if config.min_words <= words <= config.max_words:
        return None
    return f"{words} words, allowed {config.min_words} to {config.max_words}"


def _word_list(item: Item, config: FiltersConfig) -> str | None:
    for word in config.words:
        if re.search(rf"\b({word})\b", item.instruction, re.IGNORECASE):
            return f"holds {word!r}"
    return None


def _write_a_program(item: Item, _: FiltersConfig) -> str | None:
    return "asks for a program" if item.instruction.startswith("Write a program") else None


def _leading_punctuation(item: Item, _: FiltersConfig) -> str | None:
    first = item.instruction[:1]
    return f"begins with {first!r}" if first and first in string.punctuation else None


def _leading_non_ascii(item: Item, _: FiltersConfig) -> str | None:
    first = item.instruction[:1]
    return None if first.isascii() else f"begins with {first!r}"


def _media(item: Item, _: FiltersConfig) -> str | None:
    found = ASKS_FOR_MEDIA.search(item.instruction)
    return f"asks for what text cannot hold: {found.group()!r}" if found else None


def _mostly_ascii(item: Item, _: FiltersConfig) -> str | None:
    foreign = sum(not character.isascii() for character in item.instruction)
    return None if 10 * foreign <= len(item.instruction) else f"{foreign} characters are not ASCII"


def _placeholder(item: Item, _: FiltersConfig) -> str | None:
    for name, text in item._asdict().items():
        found = PLACEHOLDER.search(text)
        if found:
            return f"{name} holds the placeholder {found.group()!r}"
    return None


def _refusal(item: Item, _: FiltersConfig) -> str | None:
    found = REFUSAL.search(item.output)
    return f"the output refuses: {found.group()!r}" if found else None


def _copied_output(item: Item, _: FiltersConfig) -> str | None:
    return "the output repeats the input" if item.output == item.input else None


RULES: dict[str, Rule] = {
    "length": _length,
    "word_list": _word_list,
    "write_a_program": _write_a_program,
    "leading_punctuation": _leading_punctuation,
    "leading_non_ascii": _leading_non_ascii,
    "media": _media,
    "mostly_ascii": _mostly_ascii,
    "placeholder": _placeholder,
    "refusal": _refusal,
    "copied_output": _copied_output,
}
SIMILARITY = "similarity"


class ItemFilter:
    """The rules of one profile with the instructions that new items must not resemble."""

    def __init__(self, config: FiltersConfig) -> None:
        unknown = [name for name in config.rules if name not in RULES]
        if unknown:
            raise UserError(f"filters.rules has unknown {unknown[0]!r}; known: {', '.join(RULES)}")
        self.config = config
        self.index = SimilarityIndex(threshold=config.max_rouge_l, boundary=config.boundary, guard=config.guard_details)

    def protect(self, instructions: Iterable[str]) -> None:
        """Takes in instructions, such as the seeds, without judging them."""
        for instruction in instructions:
            self.index.add(instruction)

    def judge(self, item: Item) -> list[Rejection]:
        """Every filter that rejects the item; [] means it was kept, and later items are held against it."""
        rejections = self.judge_alone(item)
        conflict = self.index.find_conflict(item.instruction)
        if conflict is not None:
            rejections.append(self._too_similar(conflict))
        if not rejections:
            self.index.add(item.instruction)
        return rejections

    def judge_all(self, items: Sequence[Item]) -> list[list[Rejection]]:
        """The same decisions as `judge` one by one, with the similarities of many items computed together."""
        alone = [self.judge_alone(item) for item in items]
        passed = [item.instruction for item, rejections in zip(items, alone, strict=True) if not rejections]
        conflicts = iter(self.index.filter_in_order(passed))
        for rejections in alone:
            if not rejections and (conflict := next(conflicts)) is not None:
                rejections.append(self._too_similar(conflict))
        return alone

    def judge_alone(self, item: Item) -> list[Rejection]:
        """The rejections that depend on the item only."""
        found = ((name, RULES[name](item, self.config)) for name in self.config.rules)
        return [Rejection(name, reason) for name, reason in found if reason is not None]

    def _too_similar(self, conflict: Neighbour) -> Rejection:
        return Rejection(SIMILARITY, f"ROUGE-L {conflict.score:.3f} with {self.index.texts[conflict.index]!r}")
