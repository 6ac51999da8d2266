"""PubMedQA: a research question, the abstract without its conclusion, and yes, no or maybe (Jin et al. 2019).

The official evaluation is accuracy and macro-F1 over all and only the 500 ids of `test_ground_truth.json`;
the other 500 labelled records are `dev`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bioinstruct.errors import UserError
from bioinstruct.tasks import reading
from bioinstruct.tasks.base import Example, Layout, Task
from bioinstruct.tasks.choice import ChoicePrompts, render_choice, score_choice

LABELS = ("yes", "no", "maybe")
NUM_DEV = 500

RECORDS = "pubmedqa/ori_pqal.json"
GROUND_TRUTH = "pubmedqa/test_ground_truth.json"


def read_records(path: Path) -> list[Example]:
    """All labelled records of ori_pqal.json."""
    examples = []
    for key, place, record in reading.json_records(path, reading.read_json(path)):
        contexts = reading.list_field(record, "CONTEXTS", place=place)
        if not contexts or not all(isinstance(text, str) and text.strip() for text in contexts):
            raise UserError(f"{place}: CONTEXTS must be a list of texts, none of them empty")
        examples.append(
            Example(
                id=key,
                question=reading.text_field(record, "QUESTION", place=place),
                source="\n".join(str(text) for text in contexts),
                options=LABELS,
                target=reading.choice_field(record, "final_decision", LABELS, place=place),
            )
        )
    return examples


def read_test(paths: Sequence[Path]) -> list[Example]:
    """The records of the official test ids, in the order of the ground truth file."""
    records_path, truth_path = paths
    records = {example.id: example for example in read_records(records_path)}
    chosen = []
    for key, label in _read_truth(truth_path).items():
        if key not in records:
            raise UserError(f"{records_path} lacks record {key!r} of {truth_path.name}; get the full 1,000 records")
        if records[key].target != label:
            raise UserError(f"{records_path}: record {key!r} is not {LABELS[label]!r} as {truth_path.name} says")
        chosen.append(records[key])
    return chosen


def read_dev(paths: Sequence[Path]) -> list[Example]:
    """The records that are not in the official test set.

    Without the ground truth file the records must be those 500 already.
    """
    records = read_records(paths[0])
    if len(paths) == 2:
        held_out = _read_truth(paths[1])
        return [example for example in records if example.id not in held_out]
    if len(records) > NUM_DEV:
        raise UserError(
            f"{paths[0]} holds {len(records)} records, and only test_ground_truth.json says which {NUM_DEV} "
            "are dev; "
            "put that file beside it"
        )
    return records


def _read_truth(path: Path) -> dict[str, int]:
    value = reading.read_json(path)
    if not isinstance(value, dict) or not value:
        raise UserError(f"{path}: expected an object of answers by id")
    return {key: reading.choice_field(value, key, LABELS, place=f"{path}: {json.dumps(key)}") for key in value}


PROMPTS = ChoicePrompts(
    harness=lambda example: f"Abstract: {example.source}\nQuestion: {example.question}\nAnswer:",
    instruction=lambda _: "Answer the question about the abstract with yes, no or maybe.",
    input_text=lambda example: f"Abstract: {example.source}\nQuestion: {example.question}",
    scored=lambda _: LABELS,
)

PUBMEDQA = Task(
    name="pubmedqa",
    family="qa",
    kind="choice",
    protocols=("lm_eval", "alpaca"),
    further_protocols=("alpaca_generate",),
    splits={
        "test": (Layout((RECORDS, GROUND_TRUTH), read_test),),
        "dev": (Layout((RECORDS, GROUND_TRUTH), read_dev), Layout((RECORDS,), read_dev)),
    },
    how_to_get=(
        "Free (MIT): put data/ori_pqal.json and data/test_ground_truth.json of "
        "https://github.com/pubmedqa/pubmedqa "
        "into pubmedqa/ below the data root"
    ),
    render=partial(render_choice, prompts=PROMPTS),
    score=partial(score_choice, labels=LABELS),
    max_new_tokens=32,
    shots_split="dev",
)
