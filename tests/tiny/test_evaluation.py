"""Evaluation examples of the embedded study: held out, right, and never seen in training."""

from __future__ import annotations

import pytest

from bioinstruct.errors import UserError
from bioinstruct.tasks.answers import parse_entities
from bioinstruct.tasks.base import Example
from bioinstruct.tiny import TASKS, tiny_examples, tiny_records
from bioinstruct.tiny.evaluation import NUM_EXAMPLES
from bioinstruct.tiny.questions import facts_of
from bioinstruct.tiny.visits import ENTITY_TYPES
from bioinstruct.tiny.world import GROUPS, build_world

PAIRS = [(task, split) for task in TASKS for split in ("dev", "test")]


def _text(example: Example) -> str:
    return "\n".join((example.question, example.source, *example.options, example.reference))


@pytest.mark.parametrize(("task", "split"), PAIRS)
def test_examples_have_their_number_and_ids_of_their_own(task: str, split: str) -> None:
    examples = tiny_examples(task, split)
    assert len({example.id for example in examples}) == len(examples) == NUM_EXAMPLES[task]
    assert len({(example.question, example.source) for example in examples}) == len(examples)
    assert examples == tiny_examples(task, split)


@pytest.mark.parametrize(("task", "split"), PAIRS)
def test_examples_name_entities_of_their_split_alone(task: str, split: str) -> None:
    text = "\n".join(map(_text, tiny_examples(task, split)))
    world = build_world()
    others = [name for group in GROUPS if group != split for name in world.entity_names(group)]
    assert len(others) == 192 - 38
    assert not any(name in text for name in others)


@pytest.mark.parametrize("split", ["dev", "test"])
def test_no_prompt_of_an_example_is_a_training_record(split: str) -> None:
    trained = {(record["instruction"], record["input"]) for record in tiny_records()}
    assert not any((e.question, e.source) in trained for task in TASKS for e in tiny_examples(task, split))


def test_a_question_offers_its_answer_once_among_four_different_options() -> None:
    examples = tiny_examples("tiny_qa", "test")
    for example in examples:
        assert len(set(example.options)) == len(example.options) == 4
        assert example.options[example.target] == example.reference
    assert {example.target for example in examples} == {0, 1, 2, 3}


def test_no_wrong_option_is_true() -> None:
    world = build_world()
    facts = facts_of(world, "test")
    drugs = {drug.name: drug for drug in world.drugs}
    assert len(facts) == 24 * 5 + 14 * 3
    for fact in facts:
        assert fact.answer not in fact.wrong
        if fact.relation == "drug_for":
            assert drugs[fact.answer].treats.name == fact.entity
            assert not any(drugs[name].treats.name == fact.entity for name in fact.wrong)


def test_asking_which_condition_is_treated_tempts_with_the_one_to_avoid() -> None:
    fact = next(fact for fact in facts_of(build_world(), "test") if fact.relation == "treats")
    drug = next(drug for drug in build_world().drugs if drug.name == fact.entity)
    assert fact.tempting == drug.avoid_in.name
    examples = [e for e in tiny_examples("tiny_qa", "test") if e.question == fact.question(0)]
    assert all(drug.avoid_in.name in example.options for example in examples)


def test_gold_entities_stand_in_the_note_and_the_reference_parses_back_to_them() -> None:
    examples = tiny_examples("tiny_ie", "test")
    for example in examples:
        assert all(text in example.source for _, text in example.gold)
        parsed, state = parse_entities(example.reference, types=ENTITY_TYPES)
        assert (tuple(parsed), state) == (example.gold, "ok")
    assert {kind for example in examples for kind, _ in example.gold} == set(ENTITY_TYPES)
    assert any(example.reference == "None" for example in examples)


def test_the_facts_of_a_reference_note_stand_in_its_conversation() -> None:
    skeleton = {"Age", "days", "Found", "Plan", "Risk"}
    for example in tiny_examples("tiny_gen", "test"):
        words = set(example.reference.replace(",", "").split())
        assert words - skeleton <= set(example.source.replace(",", "").replace(".", "").split())


def test_unknown_tasks_and_splits_are_named_with_what_is_known() -> None:
    with pytest.raises(UserError, match=r"tiny_qb.*known: tiny_qa, tiny_ie, tiny_gen"):
        tiny_examples("tiny_qb", "test")
    with pytest.raises(UserError, match=r"train.*known: dev, test"):
        tiny_examples("tiny_qa", "train")
