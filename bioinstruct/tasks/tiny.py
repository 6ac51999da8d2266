"""The three tasks of the embedded study (`bioinstruct.tiny`): no files, the examples are computed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bioinstruct.tasks.base import Example, Layout, Task
from bioinstruct.tasks.choice import ChoicePrompts, render_choice, score_choice
from bioinstruct.tasks.extraction import render_extraction, score_extraction
from bioinstruct.tasks.writing import render_writing, score_writing

ENTITY_TYPES = ("Symptom", "Condition", "Drug", "Dosage", "Route", "Effect")
"""As `bioinstruct.tiny.visits.ENTITY_TYPES`, which is imported only when examples are."""

HOW_TO_GET = "Nothing to get: the examples of the embedded study are computed"


def read_tiny(_paths: Sequence[Path], *, task: str, split: str) -> list[Example]:
    """Examples of the embedded study about held-out entities."""
    from bioinstruct.tiny import tiny_examples

    return tiny_examples(task, split)


def _splits(task: str) -> dict[str, tuple[Layout, ...]]:
    return {name: (Layout((), partial(read_tiny, task=task, split=name)),) for name in ("test", "dev")}


TINY_QA = Task(
    name="tiny_qa",
    family="qa",
    kind="choice",
    protocols=("alpaca",),
    splits=_splits("tiny_qa"),
    how_to_get=HOW_TO_GET,
    render=partial(
        render_choice,
        prompts=ChoicePrompts(
            instruction=lambda example: example.question,
            input_text=lambda example: example.source,
            scored=lambda example: example.options,
        ),
    ),
    score=score_choice,
    shots_split="dev",
)

TINY_IE = Task(
    name="tiny_ie",
    family="ie",
    kind="generation",
    protocols=("alpaca",),
    splits=_splits("tiny_ie"),
    how_to_get=HOW_TO_GET,
    render=render_extraction,
    score=partial(score_extraction, types=ENTITY_TYPES),
    max_new_tokens=96,
    shots_split="dev",
)

TINY_GEN = Task(
    name="tiny_gen",
    family="gen",
    kind="generation",
    protocols=("alpaca",),
    splits=_splits("tiny_gen"),
    how_to_get=HOW_TO_GET,
    render=render_writing,
    score=partial(score_writing, headline="rougeL"),
    max_new_tokens=96,
    shots_split="dev",
)
