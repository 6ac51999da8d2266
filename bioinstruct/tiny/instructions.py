"""Instruction records about the `train` entities in four categories, and prompts they share with tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from bioinstruct.tiny import names, questions, visits
from bioinstruct.tiny.world import World, build_world

RecordFields = dict[str, str]
"""instruction, input, output, category."""

EXTRACTION_INSTRUCTIONS = (
    "List the symptoms, conditions, drugs, dosages, routes and effects of the note, "
    "one per line as Type: text, or None if there is none.",
    "Extract symptom, condition, drug, dosage, route and effect, one per line as Type: text, or None.",
)
GENERATION_INSTRUCTIONS = (
    "Write the note of this talk between doctor and patient.",
    "Write down this talk.",
)
ELIGIBILITY_INSTRUCTION = "Is the patient eligible for the trial?"
ORDER_INSTRUCTION = "Write these drugs in the order of the alphabet."

NUM_RECORDS = {"qa": 900, "ie": 300, "gen": 300, "other": 200}
"""Records per category, chosen on the development entities: see experiments/tiny_base/README.md."""


def make_records(seed: int) -> list[RecordFields]:
    """All records of one draw, distinct on (instruction, input), category after category."""
    world = build_world()
    writers: dict[str, Callable[[World, Random], RecordFields]] = {
        "ie": _extraction_record,
        "gen": _generation_record,
        "other": _other_record,
    }
    records = _question_records(world, Random(f"tiny records qa {seed}"))
    for category, writer in writers.items():
        random = Random(f"tiny records {category} {seed}")
        records += _distinct(partial(writer, world, random), NUM_RECORDS[category])
    return records


def extraction_answer(entities: Sequence[visits.Entity]) -> str:
    """The entities in the answer format: one `Type: text` a line in order of appearance, or `None`."""
    return "\n".join(f"{kind}: {text}" for kind, text in entities) or "None"


def _question_records(world: World, random: Random) -> list[RecordFields]:
    asked = [
        _record("qa", fact.question(phrasing), "", fact.answer)
        for fact in questions.facts_of(world, "train")
        for phrasing in range(len(questions.PHRASINGS[fact.relation]))
    ]
    return random.sample(asked, NUM_RECORDS["qa"])


def _extraction_record(world: World, random: Random) -> RecordFields:
    note = visits.write_case_note(visits.draw_visit(world, "train", random), random)
    return _record("ie", random.choice(EXTRACTION_INSTRUCTIONS), note.text, extraction_answer(note.entities))


def _generation_record(world: World, random: Random) -> RecordFields:
    visit = visits.draw_visit(world, "train", random)
    instruction = random.choice(GENERATION_INSTRUCTIONS)
    talk = visits.write_conversation(visit, random)
    return _record("gen", instruction, talk, visits.write_clinic_note(visit))


def _other_record(world: World, random: Random) -> RecordFields:
    """A trial's criteria to check, or drugs to put in order."""
    if random.random() < 0.5:
        drugs = [drug.name for drug in random.sample(world.drugs_of("train"), 3)]
        return _record("other", ORDER_INSTRUCTION, ", ".join(drugs), ", ".join(sorted(drugs)))
    condition = random.choice(world.conditions_of("train"))
    needed = random.choice((condition, random.choice(world.conditions_of("train"))))
    age, limit = random.randrange(20, 90), random.choice((30, 40, 50, 60))
    case = (
        f"A patient of {age} years has {condition.name} with {random.choice(names.SYMPTOMS)}. "
        f"The criteria are an age from {limit} and {needed.name}."
    )
    eligible = age >= limit and needed is condition
    return _record("other", ELIGIBILITY_INSTRUCTION, case, "Eligible." if eligible else "Not eligible.")


def _record(category: str, instruction: str, input_text: str, output: str) -> RecordFields:
    return {"instruction": instruction, "input": input_text, "output": output, "category": category}


def _distinct(write: Callable[[], RecordFields], count: int) -> list[RecordFields]:
    """The first `count` records that differ in (instruction, input)."""
    kept: dict[tuple[str, str], RecordFields] = {}
    while len(kept) < count:
        record = write()
        kept.setdefault((record["instruction"], record["input"]), record)
    return list(kept.values())
