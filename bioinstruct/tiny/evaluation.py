"""Evaluation examples about the held-out entities: `dev` for choosing settings, `test` for reporting."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from bioinstruct.errors import UserError
from bioinstruct.tasks.base import Example
from bioinstruct.tiny import instructions, questions, visits
from bioinstruct.tiny.world import Group, World, build_world

SPLITS: dict[str, Group] = {"dev": "dev", "test": "test"}
NUM_EXAMPLES = {"tiny_qa": 200, "tiny_ie": 150, "tiny_gen": 100}
NUM_NOTES_WITHOUT_ENTITY = 8
"""Extraction notes whose right answer is `None`."""


def make_examples(task: str, split: str) -> list[Example]:
    """The examples of a task on the held-out entities of a split; the same at every call.

    `question` is the instruction, `source` its input. tiny_qa: `options` are the answers whose likelihood is
    compared, as they stand. Raises UserError for an unknown task or split.
    """
    makers: dict[str, Callable[[World, Group, Random], list[Example]]] = {
        "tiny_qa": _choice_examples,
        "tiny_ie": _extraction_examples,
        "tiny_gen": _generation_examples,
    }
    if task not in makers:
        raise UserError(f"task {task!r} is not of the tiny study; known: {', '.join(makers)}")
    if split not in SPLITS:
        raise UserError(f"{task} has no split {split!r}; known: {', '.join(SPLITS)}")
    return makers[task](build_world(), SPLITS[split], Random(f"{task} {split}"))


def _choice_examples(world: World, group: Group, random: Random) -> list[Example]:
    """Every fact of the group once, then facts in another phrasing, to the wanted number."""
    facts = questions.facts_of(world, group)
    asked = [(fact, random.randrange(2)) for fact in facts]
    again = [(fact, 1 - phrasing) for fact, phrasing in random.sample(asked, len(asked))]
    examples: list[Example] = []
    for number, (fact, phrasing) in enumerate((asked + again)[: NUM_EXAMPLES["tiny_qa"]]):
        options = fact.options(random)
        examples.append(
            Example(
                id=f"{group}-{number:03d}-{fact.relation}",
                question=fact.question(phrasing),
                options=options,
                target=options.index(fact.answer),
                reference=fact.answer,
            )
        )
    return examples


def _extraction_examples(world: World, group: Group, random: Random) -> list[Example]:
    """Notes that each name a held-out drug or condition, and some that name nothing at all."""
    notes: dict[str, visits.Note] = {}
    while len(notes) < NUM_NOTES_WITHOUT_ENTITY:
        text = " ".join(random.sample(visits.FILLERS, 2))
        notes.setdefault(text, visits.Note(text, ()))
    while len(notes) < NUM_EXAMPLES["tiny_ie"]:
        note = visits.write_case_note(visits.draw_visit(world, group, random), random)
        if {"Drug", "Condition"} & {kind for kind, _ in note.entities}:
            notes.setdefault(note.text, note)
    return [
        Example(
            id=f"{group}-{number:03d}",
            question=instructions.EXTRACTION_INSTRUCTIONS[number % len(instructions.EXTRACTION_INSTRUCTIONS)],
            source=note.text,
            reference=instructions.extraction_answer(note.entities),
            gold=note.entities,
        )
        for number, note in enumerate(notes.values())
    ]


def _generation_examples(world: World, group: Group, random: Random) -> list[Example]:
    talks: dict[str, str] = {}
    while len(talks) < NUM_EXAMPLES["tiny_gen"]:
        visit = visits.draw_visit(world, group, random)
        talks.setdefault(visits.write_conversation(visit, random), visits.write_clinic_note(visit))
    return [
        Example(
            id=f"{group}-{number:03d}",
            question=instructions.GENERATION_INSTRUCTIONS[number % len(instructions.GENERATION_INSTRUCTIONS)],
            source=talk,
            reference=note,
        )
        for number, (talk, note) in enumerate(talks.items())
    ]
