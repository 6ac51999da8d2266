"""From three seeds to a request, and from its answer to items: as a JSON schema or as numbered ### blocks."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bioinstruct.building.filters import Item
from bioinstruct.building.seeds import Seed
from bioinstruct.config.building import AnswerFormat, LlmConfig, PromptConfig
from bioinstruct.errors import UserError
from bioinstruct.llm.exchange import ChatAnswer, ChatRequest
from bioinstruct.records import FIELDS, normalise_input
from bioinstruct.runs import JsonValue

NO_INPUT = "<noinput>"
"""Alpaca's mark of an empty input in the numbered format."""

BLOCK = re.compile(
    r"\s*(?P<number>\d+)\.\s*Instruction:(?P<instruction>.*?)"
    r"\n\s*(?P=number)\.\s*Input:(?P<input>.*?)\n\s*(?P=number)\.\s*Output:(?P<output>.*)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Parsed:
    """Items of one answer in order, and why others, or all, are missing."""

    items: tuple[Item, ...]
    problems: tuple[str, ...] = ()


def check_prompt(prompt: PromptConfig) -> None:
    """Raises UserError where the template lacks a placeholder."""
    for placeholder in ("{num_tasks}", "{examples}"):
        if placeholder not in prompt.user:
            raise UserError(f"prompt.user must hold {placeholder}; it begins {prompt.user[:60]!r}")


def draw_examples(seeds: Sequence[Seed], *, num_examples: int, seed: int, index: int) -> list[Seed]:
    """The seeds that request number `index` shows, drawn without replacement from seed and index."""
    return random.Random(f"{seed}/{index}").sample(seeds, num_examples)


def make_requests(seeds: Sequence[Seed], *, prompt: PromptConfig, llm: LlmConfig, seed: int) -> Iterator[ChatRequest]:
    """Endless requests, each with examples of its own; the same for the same arguments."""
    index = 0
    while True:
        examples = draw_examples(seeds, num_examples=prompt.num_examples, seed=seed, index=index)
        yield make_request(examples, prompt=prompt, llm=llm, name=f"r{index:06d}")
        index += 1


def make_request(examples: Sequence[Seed], *, prompt: PromptConfig, llm: LlmConfig, name: str) -> ChatRequest:
    """One request that shows the examples and asks for `prompt.num_tasks` new tasks."""
    structured = prompt.format is AnswerFormat.json_schema
    shown = format_json(examples) if structured else format_numbered(examples)
    user = prompt.user.replace("{num_tasks}", str(prompt.num_tasks)).replace("{examples}", shown)
    messages = (("system", prompt.system), ("user", user)) if prompt.system else (("user", user),)
    return ChatRequest(
        messages=messages,
        model=llm.model,
        max_tokens=llm.max_tokens,
        temperature=llm.temperature,
        top_p=llm.top_p,
        json_schema=tasks_schema() if structured else None,
        name=name,
    )


def format_json(examples: Sequence[Seed]) -> str:
    """The examples as the JSON object that the answer must be."""
    return json.dumps({"tasks": [seed.item._asdict() for seed in examples]}, ensure_ascii=False, indent=1)


def format_numbered(examples: Sequence[Seed]) -> str:
    """The examples as numbered ### blocks, and the beginning of the next one (Alpaca's encode_prompt)."""
    blocks = []
    for number, seed in enumerate(examples, 1):
        instruction = " ".join(seed.item.instruction.split()).rstrip(":")
        blocks.append(
            f"###\n{number}. Instruction: {instruction}\n{number}. Input:\n{seed.item.input or NO_INPUT}\n"
            f"{number}. Output:\n{seed.item.output}\n"
        )
    return "".join(blocks) + f"###\n{len(examples) + 1}. Instruction:"


def tasks_schema() -> dict[str, JsonValue]:
    """The JSON schema of an answer: {"tasks": [{instruction, input, output}, …]}."""
    fields: dict[str, JsonValue] = {name: {"type": "string"} for name in FIELDS}
    task: dict[str, JsonValue] = {
        "type": "object",
        "properties": fields,
        "required": list(FIELDS),
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"tasks": {"type": "array", "items": task}},
        "required": ["tasks"],
        "additionalProperties": False,
    }


def parse_answer(answer: ChatAnswer, prompt: PromptConfig) -> Parsed:
    """The items of an answer; one cut by the length limit loses its last, unfinished item."""
    if answer.finish == "content_filter":
        return Parsed((), ("stopped by the content filter",))
    if prompt.format is AnswerFormat.json_schema:
        return parse_json(answer.text)
    return parse_numbered(answer.text, first=prompt.num_examples + 1, cut=answer.finish == "length")


def parse_json(text: str) -> Parsed:
    """Items of {"tasks": […]}; of a truncated or broken object, the whole items before the break."""
    decoder = json.JSONDecoder()
    start = re.search(r'"tasks"\s*:\s*\[', text)
    if start is None:
        return Parsed((), ('no "tasks" list in the answer',))
    items: list[Item] = []
    problems: list[str] = []
    position = start.end()
    while True:
        position = _skip(text, position, " \t\r\n,")
        if text[position : position + 1] == "]":
            return Parsed(tuple(items), tuple(problems))
        try:
            raw, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            problems.append(f"broken JSON after {len(items)} items ({error.msg})")
            return Parsed(tuple(items), tuple(problems))
        match raw:
            case {"instruction": str(instruction), "input": None | str() as given, "output": str(output)}:
                _append(items, problems, instruction=instruction, input_text=given or "", output=output)
            case _:
                problems.append(f"item without {', '.join(FIELDS)}")


def parse_numbered(text: str, *, first: int, cut: bool) -> Parsed:
    """Items of `N. Instruction: … N. Input: … N. Output: …` blocks between ### lines.

    The prompt ends in "<first>. Instruction:", which an answer may or may not repeat. With `cut` the last
    block is dropped, as Alpaca's post_process_gpt3_response does.
    """
    if not re.match(r"\s*(###\s*)?\d+\.\s*Instruction:", text):
        text = f"{first}. Instruction:{text}"
    blocks = [block for block in re.split(r"###", text) if block.strip()]
    items: list[Item] = []
    problems: list[str] = []
    for position, block in enumerate(blocks):
        if cut and position == len(blocks) - 1:
            problems.append("last block cut by the length limit")
            continue
        match = BLOCK.fullmatch(block)
        if match is None or re.search(rf"\b{match['number']}\.\s*(Instruction|Input|Output):", match["output"]):
            problems.append(f"block {position + 1} is not Instruction, Input, Output of one number")
            continue
        given = match["input"].strip()
        given = "" if given.lower() == NO_INPUT else given
        _append(items, problems, instruction=match["instruction"], input_text=given, output=match["output"])
    return Parsed(tuple(items), tuple(problems))


def _append(items: list[Item], problems: list[str], *, instruction: str, input_text: str, output: str) -> None:
    if instruction.strip() and output.strip():
        items.append(Item(instruction.strip(), normalise_input(input_text), output.strip()))
    else:
        problems.append("item with an empty instruction or output")


def _skip(text: str, position: int, characters: str) -> int:
    while position < len(text) and text[position] in characters:
        position += 1
    return position
