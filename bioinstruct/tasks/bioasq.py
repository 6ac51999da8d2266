"""BioASQ yes/no questions, and the question-only forms of BioASQ and PubMedQA of the MIRAGE benchmark.

`bioasq` shows the snippets that BioASQ's experts marked (phase B of task b); `bioasq_mirage` and
`pubmedqa_mirage` show the question alone, as MIRAGE does: other tasks, so other names.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bioinstruct.errors import UserError
from bioinstruct.tasks import reading
from bioinstruct.tasks.base import Example, Layout, Task
from bioinstruct.tasks.choice import ChoicePrompts, lettered_prompts, render_choice, score_choice
from bioinstruct.tasks.exams import BENCHMARK, read_mirage

LABELS = ("yes", "no")

NUM_BATCHES = {7: 5, 8: 5, 9: 5, 10: 6, 11: 4}
"""Batches of the golden files by edition (2019 to 2023, the editions in MIRAGE)."""


def read_bioasq(paths: Sequence[Path]) -> list[Example]:
    """Yes/no questions of BioASQ task b files: {"questions": [{id, body, type, exact_answer, snippets}]}."""
    return [example for path in paths for example in _read_file(path)]


def _read_file(path: Path) -> list[Example]:
    value = reading.read_json(path)
    questions = value.get("questions") if isinstance(value, dict) else None
    if not isinstance(questions, list):
        raise UserError(f'{path}: expected an object with a list "questions"')
    examples = []
    for number, question in enumerate(questions, start=1):
        place = f"{path}: question {number}"
        if not isinstance(question, dict):
            raise UserError(f"{place}: expected an object, found {type(question).__name__}")
        if reading.text_field(question, "type", place=place) == "yesno":
            examples.append(_yesno_example(question, place=place))
    return examples


def _yesno_example(question: reading.Row, *, place: str) -> Example:
    answer = question.get("exact_answer")
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]  # older editions wrap the answer in a list
    label = answer.strip().rstrip(".").lower() if isinstance(answer, str) else ""
    if label not in LABELS:
        raise UserError(f"{place}: exact_answer is {question.get('exact_answer')!r}; allowed: yes, no")
    snippets = reading.list_field(question, "snippets", place=place) if "snippets" in question else []
    texts = [reading.text_field(snippet, "text", place=place) for snippet in snippets if isinstance(snippet, dict)]
    return Example(
        id=reading.text_field(question, "id", place=place),
        question=reading.text_field(question, "body", place=place),
        source="\n".join(texts),
        options=LABELS,
        target=LABELS.index(label),
    )


def _golden_files(editions: Sequence[int]) -> tuple[str, ...]:
    return tuple(f"bioasq/{n}B{k}_golden.json" for n in editions for k in range(1, NUM_BATCHES[n] + 1))


BIOASQ = Task(
    name="bioasq",
    family="qa",
    kind="choice",
    protocols=("lm_eval", "alpaca"),
    further_protocols=("alpaca_generate",),
    splits={
        "test": (Layout(_golden_files(tuple(NUM_BATCHES)), read_bioasq),),
        **{f"{n}b": (Layout(_golden_files((n,)), read_bioasq),) for n in NUM_BATCHES},
    },
    how_to_get=(
        "Needs a free registration: at http://participants-area.bioasq.org/datasets/ get the golden test "
        "files of task "
        "7b to 11b and put <edition>B<batch>_golden.json into bioasq/ below the data root; split `test` is "
        "all of "
        "them, `7b` … `11b` single editions"
    ),
    render=partial(
        render_choice,
        prompts=ChoicePrompts(
            # No harness task shows the snippets; this is the shape of its PubMedQA prompt [C].
            harness=lambda example: f"Abstract: {example.source}\nQuestion: {example.question}\nAnswer:",
            instruction=lambda _: "Answer the question about the abstracts with yes or no.",
            input_text=lambda example: f"Abstracts: {example.source}\nQuestion: {example.question}",
            scored=lambda _: LABELS,
        ),
    ),
    score=partial(score_choice, labels=LABELS),
    max_new_tokens=32,
)


def _mirage_task(name: str, *, dataset: str) -> Task:
    return Task(
        name=name,
        family="qa",
        kind="choice",
        protocols=("alpaca",),
        further_protocols=("mirage", "alpaca_generate"),
        splits={"test": (Layout((BENCHMARK,), partial(read_mirage, dataset=dataset)),)},
        how_to_get=(
            "Free: benchmark.json of https://github.com/Teddy-XiongGZ/MIRAGE goes into mirage/ below the data root"
        ),
        render=partial(render_choice, prompts=lettered_prompts()),
        score=score_choice,
        max_new_tokens=64,
    )


BIOASQ_MIRAGE = _mirage_task("bioasq_mirage", dataset="bioasq")
PUBMEDQA_MIRAGE = _mirage_task("pubmedqa_mirage", dataset="pubmedqa")
