"""The fictional formulary: the same everywhere, consistent, invented."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest

from bioinstruct.tiny import names
from bioinstruct.tiny.texts import condition_sentences, fact_sentences, running_text
from bioinstruct.tiny.world import GROUPS, Group, build_world

REAL_NAMES = (
    "aspirin",
    "ibuprofen",
    "paracetamol",
    "metformin",
    "warfarin",
    "heparin",
    "insulin",
    "morphine",
    "codeine",
    "lisinopril",
    "atorvastatin",
    "amlodipine",
    "omeprazole",
    "amoxicillin",
    "penicillin",
    "digoxin",
    "lithium",
    "asthma",
    "diabetes",
    "hypertension",
    "pneumonia",
    "malaria",
    "measles",
    "anaemia",
    "arthritis",
    "migraine",
)
REAL_STEMS = (
    "mab",
    "nib",
    "pril",
    "sartan",
    "statin",
    "olol",
    "azole",
    "cillin",
    "mycin",
    "prazole",
    "vir",
    "gliptin",
    "profen",
    "dipine",
    "oxacin",
    "itis",
    "osis",
    "emia",
    "oma",
    "algia",
    "pathy",
)
"""Stems of international non-proprietary names, and endings of real diseases."""


def test_the_world_of_seed_0_is_the_one_that_the_shipped_model_has_read_about() -> None:
    digest = hashlib.sha256(repr(build_world()).encode()).hexdigest()
    assert digest[:16] == "97504e6967330074"  # any change here asks for a new model: experiments/tiny_base


def test_another_seed_gives_another_world() -> None:
    assert build_world(1) != build_world(0)


def test_the_groups_share_no_entity_and_have_the_stated_sizes() -> None:
    world = build_world()
    sizes = {group: (len(world.drugs_of(group)), len(world.conditions_of(group))) for group in GROUPS}
    assert sizes == {"train": (72, 44), "dev": (24, 14), "test": (24, 14)}
    every_name = [name for group in GROUPS for name in world.entity_names(group)]
    assert len(set(every_name)) == len(every_name) == 120 + 72


@pytest.mark.parametrize("group", GROUPS)
def test_facts_stay_inside_their_group_and_do_not_contradict_each_other(group: Group) -> None:
    world = build_world()
    conditions = world.conditions_of(group)
    for drug in world.drugs_of(group):
        assert drug.treats in conditions
        assert drug.avoid_in in conditions
        assert drug.treats != drug.avoid_in
    assert {drug.treats for drug in world.drugs_of(group)} == set(conditions)
    assert len({condition.symptom for condition in conditions}) == len(conditions)


def test_no_name_is_real_or_ends_like_a_real_one() -> None:
    world = build_world()
    for name in (entity.lower() for group in GROUPS for entity in world.entity_names(group)):
        assert name not in REAL_NAMES
        assert not name.endswith(REAL_STEMS)


def test_every_drug_name_the_generator_can_make_ends_in_an_invented_ending() -> None:
    assert not any(end.endswith(REAL_STEMS) for end in (*names.DRUG_ENDS, *names.CONDITION_ENDS))


def test_running_text_is_the_same_for_a_seed_and_names_every_entity() -> None:
    documents = list(running_text(3000))
    assert documents == list(running_text(3000))
    text = "\n".join(documents)
    world = build_world()
    assert all(name in text for group in GROUPS for name in world.entity_names(group))


def test_running_text_holds_no_instruction_format_and_no_answer_format() -> None:
    lines = "\n".join(running_text(3000)).split("\n")
    assert not any("###" in line for line in lines)
    headed = {line.partition(":")[0] for line in lines if ":" in line}
    assert headed == {"Doctor", "Patient"}
    asked = {line for line in lines if line.endswith("?")}
    world = build_world()
    entities = [name for group in GROUPS for name in world.entity_names(group)]
    assert not any(name in line for line in asked for name in entities)


def test_the_first_paraphrase_of_every_fact_ends_in_its_value() -> None:
    drug = build_world().drugs[0]
    sentences = fact_sentences(drug)
    assert sentences["treats"][0] == f"{drug.name} treats {drug.treats.name}."
    assert sentences["dose"][0] == f"The dose of {drug.name} is {drug.dose}."
    condition = build_world().conditions[0]
    assert condition_sentences(condition)["organ"][0] == f"The organ hit by {condition.name} is the {condition.organ}."


def test_every_fact_has_several_different_paraphrases() -> None:
    world = build_world()
    tables = [*map(fact_sentences, world.drugs), *map(condition_sentences, world.conditions)]
    for paraphrases in (p for table in tables for p in table.values()):
        assert len(paraphrases) >= 4
        assert all(a != b for a, b in pairwise(sorted(paraphrases)))
