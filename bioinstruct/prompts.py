"""Instruction templates: from a record's fields to the text a model reads."""

from __future__ import annotations

from dataclasses import dataclass, field

from bioinstruct.errors import UserError


@dataclass
class Template:
    """A prompt template; also the schema of the config group `template`."""

    name: str = "???"
    """Label of the template in run ids and tables."""
    with_input: str = "???"
    """Prompt of a record with an input; holds {instruction} and {input} once each."""
    without_input: str = "???"
    """Prompt of a record without an input; holds {instruction} once."""
    stop: list[str] = field(default_factory=list)
    """Texts at which generation ends: the template's next header, never punctuation."""


def check_template(template: Template) -> None:
    """Raises UserError where a template lacks a placeholder or holds it twice."""
    wanted = {
        "template.with_input": (template.with_input, ("{instruction}", "{input}")),
        "template.without_input": (template.without_input, ("{instruction}",)),
    }
    for key, (text, placeholders) in wanted.items():
        for placeholder in placeholders:
            if text.count(placeholder) != 1:
                found = text.count(placeholder)
                raise UserError(f"{key} must hold {placeholder} exactly once, found {found} in {text!r}")


def render_prompt(template: Template, *, instruction: str, input_text: str = "") -> str:
    """The prompt up to where the response begins; braces inside the fields are left alone."""
    text = template.with_input if input_text else template.without_input
    before, after = text.split("{instruction}")
    if "{input}" in before:
        before = before.replace("{input}", input_text)
    else:
        after = after.replace("{input}", input_text)
    return before + instruction + after
