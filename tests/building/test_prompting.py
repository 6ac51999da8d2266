"""Requests are functions of seed and index; answers become items, whole or broken."""

from __future__ import annotations

import itertools

import pytest

from bioinstruct.building.filters import Item
from bioinstruct.building.prompting import (
    check_prompt,
    draw_examples,
    format_numbered,
    make_requests,
    parse_answer,
    parse_json,
    parse_numbered,
)
from bioinstruct.building.seeds import Seed, load_seeds
from bioinstruct.config.building import AnswerFormat, LlmConfig, PromptConfig
from bioinstruct.errors import UserError
from bioinstruct.llm.exchange import ChatAnswer

SEEDS = [Seed(Item(f"Name drug number {n}:", "" if n else "note", f"Drug {n}."), "qa") for n in range(5)]
TWO_BLOCKS = (
    " Name a drug.\n4. Input:\n<noinput>\n4. Output:\nAspirin, 20. Nov.\n###\n"
    "5. Instruction: Count the doses\n5. Input:\n1. Morning dose\n2. Evening dose\n5. Output:\n2"
)
TWO_ITEMS = (
    Item("Name a drug.", "", "Aspirin, 20. Nov."),
    Item("Count the doses", "1. Morning dose\n2. Evening dose", "2"),
)


def make_prompt(answer_format: AnswerFormat = AnswerFormat.json_schema) -> PromptConfig:
    return PromptConfig(name="t", format=answer_format, num_tasks=2, user="Write {num_tasks}: {examples}")


def test_examples_depend_on_seed_and_index_only() -> None:
    first = [draw_examples(SEEDS, num_examples=3, seed=7, index=i) for i in range(20)]
    assert first == [draw_examples(SEEDS, num_examples=3, seed=7, index=i) for i in range(20)]
    assert first != [draw_examples(SEEDS, num_examples=3, seed=8, index=i) for i in range(20)]
    assert all(len(set(examples)) == 3 for examples in first)


def test_requests_show_three_seeds_and_ask_for_structured_output() -> None:
    requests = make_requests(SEEDS, prompt=make_prompt(), llm=LlmConfig(model="m"), seed=0)
    first, second = itertools.islice(requests, 2)
    assert first.messages[-1][1].count('"instruction"') == 3
    assert first.json_schema is not None
    assert first.request_id.startswith("r000000-")
    assert second.request_id.startswith("r000001-")


def test_the_id_of_a_request_changes_with_the_model() -> None:
    ids = {next(make_requests(SEEDS, prompt=make_prompt(), llm=LlmConfig(model=m), seed=0)).request_id for m in "ab"}
    assert len(ids) == 2


def test_numbered_blocks_are_those_of_alpaca() -> None:
    assert format_numbered(SEEDS[:2]) == (
        "###\n1. Instruction: Name drug number 0\n1. Input:\nnote\n1. Output:\nDrug 0.\n"
        "###\n2. Instruction: Name drug number 1\n2. Input:\n<noinput>\n2. Output:\nDrug 1.\n"
        "###\n3. Instruction:"
    )


@pytest.mark.parametrize("prefix", ["", "4. Instruction:", "###\n4. Instruction:"])
def test_numbered_answers_are_read_with_and_without_the_prompted_beginning(prefix: str) -> None:
    assert parse_numbered(prefix + TWO_BLOCKS, first=4, cut=False).items == TWO_ITEMS


def test_a_cut_numbered_answer_loses_its_last_block() -> None:
    parsed = parse_numbered(TWO_BLOCKS, first=4, cut=True)
    assert parsed.items == TWO_ITEMS[:1]
    assert parsed.problems == ("last block cut by the length limit",)


def test_a_block_with_two_numbers_is_no_item() -> None:
    parsed = parse_numbered(TWO_BLOCKS.replace("5. Output", "6. Output"), first=4, cut=False)
    assert parsed.items == TWO_ITEMS[:1]
    assert parsed.problems == ("block 2 is not Instruction, Input, Output of one number",)


def test_json_items_are_read_and_inputs_normalised() -> None:
    text = '{"tasks": [{"instruction": " Name it ", "input": "N/A", "output": "x"}, {"instruction": "a"}]}'
    parsed = parse_json(text)
    assert parsed.items == (Item("Name it", "", "x"),)
    assert parsed.problems == ("item without instruction, input, output",)


def test_broken_json_gives_the_items_before_the_break() -> None:
    item = '{"instruction": "a", "input": null, "output": "b"}'
    parsed = parse_json(f'Here: {{"tasks": [{item}, {item}, {item[:20]}')
    assert parsed.items == (Item("a", "", "b"),) * 2
    assert parsed.problems[0].startswith("broken JSON after 2 items")


def test_items_without_output_are_dropped() -> None:
    parsed = parse_json('{"tasks": [{"instruction": "a", "input": "", "output": " "}]}')
    assert (parsed.items, parsed.problems) == ((), ("item with an empty instruction or output",))


def test_a_filtered_answer_has_no_items() -> None:
    answer = ChatAnswer("r", '{"tasks": []}', "content_filter", None, "m")
    assert parse_answer(answer, make_prompt()).problems == ("stopped by the content filter",)


def test_a_template_without_placeholder_is_refused() -> None:
    with pytest.raises(UserError, match=r"must hold \{examples\}"):
        check_prompt(PromptConfig(name="t", format=AnswerFormat.numbered, user="Write {num_tasks}"))


def test_shipped_seeds_fill_a_prompt() -> None:
    seeds = load_seeds(None, num_examples=3)
    request = next(make_requests(seeds, prompt=make_prompt(AnswerFormat.numbered), llm=LlmConfig(model="m"), seed=0))
    assert request.messages[0][1].endswith("###\n4. Instruction:")
    assert request.json_schema is None
