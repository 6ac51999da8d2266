"""Seed records: written by people, checked before the first request, shown three at a time in each prompt."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from bioinstruct.building.filters import Item
from bioinstruct.building.similarity import nearest_scores
from bioinstruct.categories import CATEGORIES
from bioinstruct.errors import PrerequisiteError, UserError
from bioinstruct.records import FIELDS, check_category, normalise_input

SHIPPED = "seeds.jsonl"
WORD_LIMITS = {"instruction": (4, 60), "input": (0, 200), "output": (1, 300)}
"""Fewest and most words of a seed's fields [C]: within what BioInstruct's records show."""

MAX_ROUGE_L = 0.7
"""Two seeds must not resemble each other more than generated records may (Alpaca)."""

MAX_CATEGORY_SHARE = 0.5
MIN_FACTOR_SHARE = 0.1
"""No category above half of the seeds, and none of qa, ie, gen below a tenth [C]: the mix of the seeds is
the mix of what is generated from them."""


@dataclass(frozen=True)
class Seed:
    """One seed: instruction, input, output, and its category."""

    item: Item
    category: str


def load_seeds(path: Path | None, *, num_examples: int) -> list[Seed]:
    """The checked seeds of a JSON Lines file, or the 80 that ship with the package.

    Raises UserError naming the line for a field that is missing, too long or unknown, for two seeds that
    resemble each other, and for an unbalanced mix; at least `num_examples` seeds are needed.
    """
    if path is None:
        source, text = SHIPPED, resources.files("bioinstruct.building").joinpath(SHIPPED).read_text("utf-8")
    elif path.is_file():
        source, text = str(path), path.read_text(encoding="utf-8-sig")
    else:
        raise PrerequisiteError(f"seed file not found: {path}. Set seed_path, or null for the shipped seeds")
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    seeds = [_read_seed(line, place=f"{source}, line {number}") for number, line in lines]
    if len(seeds) < max(2, num_examples):
        raise UserError(f"{source} holds {len(seeds)} seeds; at least {max(2, num_examples)} are needed")
    _check_distinct(seeds, [f"{source}, line {number}" for number, _ in lines])
    _check_balance(seeds, source)
    return seeds


def _read_seed(line: str, *, place: str) -> Seed:
    try:
        raw = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{place}: not JSON ({error.msg})") from error
    if not isinstance(raw, dict):
        raise UserError(f"{place}: a seed must be an object with {', '.join(FIELDS)} and category")
    texts = {}
    for name, (low, high) in WORD_LIMITS.items():
        value = raw.get(name)
        if not isinstance(value, str):
            raise UserError(f"{place}: field {name!r} must be text, found {value!r}")
        words = len(value.split())
        if not low <= words <= high:
            raise UserError(f"{place}: {name} has {words} words, allowed {low} to {high}")
        texts[name] = value.strip()
    category = check_category(raw.get("category"), place=place)
    item = Item(texts["instruction"], normalise_input(texts["input"]), texts["output"])
    return Seed(item, category)


def _check_distinct(seeds: Sequence[Seed], places: Sequence[str]) -> None:
    neighbours = nearest_scores([seed.item.instruction for seed in seeds])
    for place, neighbour in zip(places, neighbours, strict=True):
        if neighbour.score > MAX_ROUGE_L:
            raise UserError(
                f"{place}: the instruction resembles the one of {places[neighbour.index]} "
                f"(ROUGE-L {neighbour.score:.2f}, allowed up to {MAX_ROUGE_L}). Reword or remove one"
            )


def _check_balance(seeds: Sequence[Seed], source: str) -> None:
    counts = Counter(seed.category for seed in seeds)
    mix = ", ".join(f"{name} {counts[name]}" for name in CATEGORIES)
    for name in CATEGORIES:
        share = counts[name] / len(seeds)
        low = 0.0 if name == "other" else MIN_FACTOR_SHARE
        if not low <= share <= MAX_CATEGORY_SHARE:
            raise UserError(
                f"{source}: {share:.0%} of the seeds are {name} ({mix}); allowed {low:.0%} to "
                f"{MAX_CATEGORY_SHARE:.0%}. Add seeds of the rarer categories"
            )
