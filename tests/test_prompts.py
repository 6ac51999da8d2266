from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from bioinstruct.encoding import encode_pair, encode_text
from bioinstruct.errors import UserError
from bioinstruct.prompts import Template, check_template, render_prompt
from tests.small_model import byte_tokenizer

CONF = Path(__file__).parents[1] / "conf"

ALPACA_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\nName it.\n\n### Input:\nA {input} b\n\n### Response:\n"
)
ALPACA_WITHOUT_INPUT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\nName it.\n\n### Response:\n"
)


def load_template(name: str) -> Template:
    merged = OmegaConf.merge(OmegaConf.structured(Template), OmegaConf.load(CONF / "template" / f"{name}.yaml"))
    template = OmegaConf.to_object(merged)
    assert isinstance(template, Template)
    return template


def test_the_alpaca_template_is_the_published_text() -> None:
    alpaca = load_template("alpaca")
    assert render_prompt(alpaca, instruction="Name it.", input_text="A {input} b") == ALPACA_WITH_INPUT
    assert render_prompt(alpaca, instruction="Name it.") == ALPACA_WITHOUT_INPUT


def test_braces_in_the_fields_are_left_alone() -> None:
    text = render_prompt(load_template("alpaca"), instruction="{input} {x} {instruction}", input_text="{instruction}")
    assert "### Instruction:\n{input} {x} {instruction}\n\n### Input:\n{instruction}\n\n" in text


def test_every_shipped_template_is_whole() -> None:
    names = sorted(path.stem for path in (CONF / "template").glob("*.yaml"))
    assert {"alpaca", "short"} <= set(names)
    for name in names:
        check_template(load_template(name))


def test_a_template_without_its_placeholder_is_refused() -> None:
    with pytest.raises(UserError, match=r"template.with_input must hold \{input\} exactly once, found 0"):
        check_template(Template("x", "{instruction}", "{instruction}"))


def test_exactly_one_bos_and_no_special_tokens_from_the_text() -> None:
    tokenizer = byte_tokenizer()
    ids = encode_text(tokenizer, "a</s>b")
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.bos_token_id not in ids[1:]
    assert tokenizer.eos_token_id not in ids
    assert tokenizer.decode(ids[1:]) == "a</s>b"


def test_trailing_spaces_of_the_context_move_to_the_continuation() -> None:
    tokenizer = byte_tokenizer()
    pair = encode_pair(tokenizer, "Answer: ", "yes")
    assert tokenizer.decode(pair.context[1:]) == "Answer:"
    assert tokenizer.decode(pair.continuation) == " yes"
    assert pair.joint
