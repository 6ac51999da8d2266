"""Inference between two texts, a family of its own: MedNLI (closed) and RQE (open).

Protocol `alpaca`: the instruction sentences are ours [C].
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bioinstruct.errors import UserError
from bioinstruct.tasks import reading
from bioinstruct.tasks.base import Example, Layout, Task
from bioinstruct.tasks.choice import ChoicePrompts, render_choice, score_choice

MEDNLI_LABELS = ("entailment", "contradiction", "neutral")
RQE_LABELS = ("yes", "no")
RQE_VALUES = ("true", "false")

RQE_EMPTY = frozenset({"5860"})
"""Pairs of the published training file whose second question is empty: left out."""


def read_mednli(paths: Sequence[Path]) -> list[Example]:
    """Records of PhysioNet's mli_<split>_v1.jsonl: pairID, sentence1, sentence2, gold_label."""
    return [
        Example(
            id=reading.text_field(record, "pairID", place=place),
            question=reading.text_field(record, "sentence2", place=place),
            source=reading.text_field(record, "sentence1", place=place),
            options=MEDNLI_LABELS,
            target=reading.choice_field(record, "gold_label", MEDNLI_LABELS, place=place),
        )
        for place, record in reading.json_lines(paths[0])
    ]


def read_rqe(paths: Sequence[Path]) -> list[Example]:
    """Pairs of the RQE XML files: two questions, and whether the first entails the second."""
    path = paths[0]
    text = reading.read_text(path)
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        line = error.position[0]
        raise UserError(f"{path}:{line}: broken XML ({error}); the file is cut or edited, get it again") from error
    examples = []
    position = 0
    for pair in root.iter("pair"):
        position = max(position, text.find("<pair", position + 1))
        place = f"{path}:{text.count(chr(10), 0, position) + 1}"
        record: dict[str, object] = dict(pair.attrib)
        if record.get("pid") in RQE_EMPTY and not (pair.findtext("faq") or "").strip():
            continue
        record |= {key: pair.findtext(key) for key in ("chq", "faq") if pair.find(key) is not None}
        examples.append(
            Example(
                id=reading.text_field(record, "pid", place=place),
                question=reading.text_field(record, "faq", place=place).strip(),
                source=reading.text_field(record, "chq", place=place).strip(),
                options=RQE_LABELS,
                target=reading.choice_field(record, "value", RQE_VALUES, place=place),
            )
        )
    return examples


MEDNLI = Task(
    name="mednli",
    family="nli",
    kind="choice",
    protocols=("alpaca",),
    further_protocols=("alpaca_generate",),
    splits={name: (Layout((f"mednli/mli_{name}_v1.jsonl",), read_mednli),) for name in ("test", "dev", "train")},
    how_to_get=(
        "Needs PhysioNet credentials: sign the agreement at https://physionet.org/content/mednli/1.0.0/ and "
        "put "
        "mli_{train,dev,test}_v1.jsonl into mednli/ below the data root"
    ),
    render=partial(
        render_choice,
        prompts=ChoicePrompts(
            instruction=lambda _: (
                "Does the premise entail the hypothesis, contradict it, or neither? Answer with entailment, "
                "contradiction or neutral."
            ),
            input_text=lambda example: f"Premise: {example.source}\nHypothesis: {example.question}",
            scored=lambda _: MEDNLI_LABELS,
        ),
    ),
    score=partial(score_choice, labels=MEDNLI_LABELS),
    max_new_tokens=32,
    shots_split="train",
)

RQE = Task(
    name="rqe",
    family="nli",
    kind="choice",
    protocols=("alpaca",),
    further_protocols=("alpaca_generate",),
    splits={
        "test": (Layout(("rqe/RQE_Test_302_pairs_AMIA2016.xml",), read_rqe),),
        "train": (Layout(("rqe/RQE_Train_8588_AMIA2016.xml",), read_rqe),),
    },
    how_to_get=(
        "Free (CC BY 4.0): the XML files of https://github.com/abachaa/RQE_Data_AMIA2016 go into rqe/ below "
        "the data "
        "root"
    ),
    render=partial(
        render_choice,
        prompts=ChoicePrompts(
            # Entailment as Ben Abacha and Demner-Fushman (2016) define it.
            instruction=lambda _: (
                "Is every answer to the second question also a complete or partial answer to the first? "
                "Answer with "
                "yes or no."
            ),
            input_text=lambda example: f"First question: {example.source}\nSecond question: {example.question}",
            scored=lambda _: RQE_LABELS,
        ),
    ),
    score=partial(score_choice, labels=RQE_LABELS),
    max_new_tokens=32,
    shots_split="train",
)
