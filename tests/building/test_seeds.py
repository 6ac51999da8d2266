"""The shipped seeds are sound; a file of the user's is checked line by line."""

from __future__ import annotations

import json
from collections import Counter
from importlib import resources
from pathlib import Path

import pytest

from bioinstruct.building.filters import ItemFilter
from bioinstruct.building.seeds import load_seeds
from bioinstruct.categories import FACTORS
from bioinstruct.errors import PrerequisiteError, UserError
from tests.building.profiles import load_profile

TOPICS = ("aspirin", "biopsy", "cholera", "dialysis", "eczema", "fever")
GOOD = [
    {"instruction": f"{topic} {topic}x {topic}y {topic}z", "input": "", "output": "x", "category": FACTORS[n % 3]}
    for n, topic in enumerate(TOPICS)
]


def write_seeds(folder: Path, rows: list[dict[str, str]]) -> Path:
    path = folder / "seeds.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_shipped_seeds_are_eighty_spread_over_categories_and_domains() -> None:
    seeds = load_seeds(None, num_examples=3)
    assert Counter(seed.category for seed in seeds) == {"qa": 24, "ie": 24, "gen": 24, "other": 8}
    text = resources.files("bioinstruct.building").joinpath("seeds.jsonl").read_text("utf-8")
    domains = Counter(json.loads(line)["domain"] for line in text.splitlines())
    assert set(domains) == {"note", "literature", "patient", "trial", "drug", "lab"}
    assert min(domains.values()) >= 12


@pytest.mark.parametrize("profile", ["alpaca", "biomedical"])
def test_shipped_seeds_pass_every_filter(profile: str) -> None:
    items = [seed.item for seed in load_seeds(None, num_examples=3)]
    assert not any(ItemFilter(load_profile(profile)).judge_all(items))


def test_a_good_file_is_read(tmp_path: Path) -> None:
    assert len(load_seeds(write_seeds(tmp_path, GOOD), num_examples=3)) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output": None}, "line 6: field 'output' must be text, found None"),
        ({"instruction": "Too short"}, "line 6: instruction has 2 words, allowed 4 to 60"),
        ({"category": "q_a"}, "line 6: category is 'q_a'; known: qa, ie, gen, other"),
        ({"instruction": GOOD[0]["instruction"]}, "line 1: the instruction resembles the one of .*line 6"),
    ],
)
def test_a_bad_seed_is_named_with_its_line(tmp_path: Path, change: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_seeds(write_seeds(tmp_path, [*GOOD[:5], {**GOOD[5], **change}]), num_examples=3)


def test_an_unbalanced_mix_is_refused(tmp_path: Path) -> None:
    rows = [{**row, "category": "qa"} for row in GOOD]
    with pytest.raises(UserError, match=r"100% of the seeds are qa .*allowed 10% to 50%"):
        load_seeds(write_seeds(tmp_path, rows), num_examples=3)


def test_too_few_seeds_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds 6 seeds; at least 7"):
        load_seeds(write_seeds(tmp_path, GOOD), num_examples=7)
    with pytest.raises(PrerequisiteError, match="seed file not found"):
        load_seeds(tmp_path / "none.jsonl", num_examples=3)
