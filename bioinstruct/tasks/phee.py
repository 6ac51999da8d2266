"""PHEE: drugs, dosages, routes, treated disorders and effects in case reports (Sun et al. 2022)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from bioinstruct.errors import UserError
from bioinstruct.tasks import reading
from bioinstruct.tasks.base import Example, Layout, Task
from bioinstruct.tasks.extraction import render_extraction, score_extraction

TYPES = ("Drug", "Dosage", "Route", "Disorder", "Effect")

QUESTION = (
    "List every drug, dosage, route, treated disorder and effect in the text in order of appearance, one "
    "line for each "
    "mention, as Type: text with the types Drug, Dosage, Route, Disorder, Effect, or None if there is none."
)


def read_phee(paths: Sequence[Path]) -> list[Example]:
    """Records of PHEE's JSON Lines files; a span shared by several events counts once."""
    examples = []
    for place, record in reading.json_lines(paths[0]):
        context = reading.text_field(record, "context", place=place)
        spans = {span for event in _events(record, place=place) for span in _event_spans(event, context, place=place)}
        examples.append(
            Example(
                id=reading.text_field(record, "id", place=place),
                question=QUESTION,
                source=context,
                gold=tuple((kind, text) for _, kind, text in sorted(spans)),
            )
        )
    return examples


def _events(record: reading.Row, *, place: str) -> Iterator[dict[str, object]]:
    for annotation in reading.list_field(record, "annotations", place=place):
        if not isinstance(annotation, dict):
            raise UserError(f"{place}: annotations must hold objects, found {type(annotation).__name__}")
        for event in reading.list_field(annotation, "events", place=place):
            if not isinstance(event, dict):
                raise UserError(f"{place}: events must hold objects, found {type(event).__name__}")
            yield event


def _event_spans(event: dict[str, object], context: str, *, place: str) -> Iterator[tuple[int, str, str]]:
    """(start, type, text) of an event's arguments; parts of a split span are joined by a space [C]."""
    arguments: list[tuple[str, object]] = [("Effect", event.get("Effect"))]
    treatment = event.get("Treatment")
    if isinstance(treatment, dict):
        arguments += [(kind, treatment.get(kind)) for kind in TYPES[:4]]
    for kind, argument in arguments:
        if argument is None:
            continue
        if not isinstance(argument, dict):
            raise UserError(f"{place}: {kind} is {type(argument).__name__}, expected an object with text and start")
        texts = reading.list_field(argument, "text", place=place)
        starts = reading.list_field(argument, "start", place=place)
        if len(texts) != len(starts):
            raise UserError(f"{place}: {kind} has {len(texts)} texts and {len(starts)} starts")
        for parts, offsets in zip(texts, starts, strict=True):
            yield _span(kind, parts, offsets, context, place=place)


def _span(kind: str, parts: object, offsets: object, context: str, *, place: str) -> tuple[int, str, str]:
    if not isinstance(parts, list) or not isinstance(offsets, list) or len(parts) != len(offsets) or not parts:
        raise UserError(f"{place}: {kind} must list its text parts and their starts, found {parts!r} and {offsets!r}")
    for part, offset in zip(parts, offsets, strict=True):
        if not isinstance(part, str) or not isinstance(offset, int) or not context.startswith(part, offset) or not part:
            raise UserError(f"{place}: {kind} {part!r} does not stand at {offset!r} of the context")
    return offsets[0], kind, " ".join(parts)


PHEE = Task(
    name="phee",
    family="ie",
    kind="generation",
    protocols=("alpaca",),
    splits={
        "test": (Layout(("phee/test.json",), read_phee),),
        "dev": (Layout(("phee/dev.json",), read_phee),),
        "train": (Layout(("phee/train.json",), read_phee),),
    },
    how_to_get=(
        "Free (MIT): data/json/{train,dev,test}.json of https://github.com/ZhaoyueSun/PHEE go into phee/ "
        "below the "
        "data root"
    ),
    render=render_extraction,
    score=partial(score_extraction, types=TYPES),
    max_new_tokens=128,
    shots_split="train",
)
