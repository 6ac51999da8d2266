"""Every rule with what it rejects and what it lets pass; the profiles against real records."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bioinstruct.building.filters import RULES, Item, ItemFilter
from bioinstruct.config.building import FiltersConfig
from bioinstruct.errors import UserError
from tests.building.profiles import FILTERS_FOLDER, load_profile


def rejected_by(profile: str, instruction: str, *, output: str = "An answer.", input_text: str = "") -> list[str]:
    filters = ItemFilter(load_profile(profile))
    return [rejection.filter for rejection in filters.judge(Item(instruction, input_text, output))]


@pytest.mark.parametrize(
    ("instruction", "rules"),
    [
        ("Name three drugs", ["length"]),
        ("Name three common drugs", []),
        ("word " * 150 + "end", ["length"]),
        (("word " * 150).strip(), []),
        ("Explain the flow Chart and the Graph", ["word_list"]),
        ("Explain the flowcharting of a photograph", []),
        ("Tell the patient to go to bed", ["word_list"]),
        ("Write a program that sorts drugs", ["write_a_program"]),
        ("(Explain) the mechanism of aspirin", ["leading_punctuation"]),
        ("α-blockers are used for what", ["leading_non_ascii"]),
        ("Explain why α-blockers lower pressure", []),
        ("- Draw it", ["length", "word_list", "leading_punctuation"]),
    ],
)
def test_alpaca_profile_applies_the_published_rules(instruction: str, rules: list[str]) -> None:
    assert rejected_by("alpaca", instruction) == rules


@pytest.mark.parametrize(
    ("instruction", "rules"),
    [
        ("Interpret the magnetic resonance image report in plain words", []),
        ("Name what a genetic map of the locus tells", []),
        ("Draw a conclusion from the results of the trial", []),
        ("Draw a blood sample in the right order of tubes", []),
        ("Draw a diagram of the nephron with its segments", ["media"]),
        ("Describe the attached image of the rash", ["media"]),
        ("α-blockers are used for which disease", []),
        ("请解释高血压的治疗 for this patient", ["mostly_ascii"]),
        ("Write a letter to [insert name] about the result", ["placeholder"]),
    ],
)
def test_biomedical_profile_lets_medical_language_pass(instruction: str, rules: list[str]) -> None:
    assert rejected_by("biomedical", instruction) == rules


def test_biomedical_profile_rejects_refusals_and_copies() -> None:
    ask = "Explain how this drug works in the body"
    assert rejected_by("biomedical", ask, output="As an AI language model, I cannot …") == ["refusal"]
    assert rejected_by("biomedical", ask, output="aspirin", input_text="aspirin") == ["copied_output"]


def test_a_kept_item_bars_the_next_similar_one_and_the_reason_names_it() -> None:
    filters = ItemFilter(load_profile("alpaca"))
    assert filters.judge(Item("List the side effects of metformin", "", "x")) == []
    rejections = filters.judge(Item("List the adverse effects of metformin", "", "x"))
    assert [r.filter for r in rejections] == ["similarity"]
    assert rejections[0].reason == "ROUGE-L 0.833 with 'List the side effects of metformin'"


def test_a_rejected_item_bars_nothing() -> None:
    filters = ItemFilter(load_profile("alpaca"))
    assert filters.judge(Item("Draw the side effects of metformin", "", "x")) != []
    assert filters.judge(Item("List the side effects of metformin", "", "x")) == []


def test_judging_together_equals_judging_one_by_one() -> None:
    texts = [
        "List the side effects of metformin",
        "List side effects of metformin",
        "Draw it",
        "Name the drug class now",
    ]
    items = [Item(text, "", "x") for text in texts * 2]
    together, single = ItemFilter(load_profile("alpaca")), ItemFilter(load_profile("alpaca"))
    assert [[r.filter for r in v] for v in together.judge_all(items)] == [
        [r.filter for r in single.judge(item)] for item in items
    ]


def test_an_unknown_rule_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="unknown 'lenght'; known: length"):
        ItemFilter(FiltersConfig(name="x", rules=["lenght"]))


def test_every_profile_and_rule_is_used() -> None:
    profiles = [load_profile(path.stem) for path in sorted(FILTERS_FOLDER.glob("*.yaml"))]
    assert [profile.name for profile in profiles] == ["alpaca", "biomedical"]
    assert {rule for profile in profiles for rule in profile.rules} == set(RULES)


@pytest.mark.realdata
def test_the_real_slice_passes_the_alpaca_profile_whole() -> None:
    folder = os.environ.get("BIOINSTRUCT_DATA")
    if not folder:
        pytest.skip("BIOINSTRUCT_DATA is not set")
    raw = json.loads((Path(folder) / "bioinstruct" / "bioinstruct_slice.json").read_text(encoding="utf-8"))
    items = [Item(record["instruction"], record["input"], record["output"]) for record in raw]
    assert len(items) == 2501
    assert not any(ItemFilter(load_profile("alpaca")).judge_all(items))
