"""Visits to an imaginary clinic: what happened to one patient, and the ways to write it down.

A visit holds to the facts of the world (drug, dose, route, side effect) and draws what is the patient's own
(age, complaint, days), so that writing it down needs both memory and copying.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from bioinstruct.tiny import names
from bioinstruct.tiny.world import Drug, Group, World

Entity = tuple[str, str]
"""(type, text as it stands in the note)."""

ENTITY_TYPES = ("Symptom", "Condition", "Drug", "Dosage", "Route", "Effect")

FILLERS = (
    "Sleep was good.",
    "The family was told.",
    "Blood pressure was normal.",
    "There was no fever.",
    "The patient lives alone.",
    "The weight was stable.",
    "A new visit was planned.",
    "The patient does not smoke.",
)


@dataclass(frozen=True)
class Visit:
    """One patient at one visit."""

    age: int
    complaint: str
    days: int
    drug: Drug
    has_effect: bool
    """Whether the drug's side effect came up."""
    has_timing: bool


@dataclass(frozen=True)
class Note:
    """A written note with its entities in the order of their appearance."""

    text: str
    entities: tuple[Entity, ...]


def draw_visit(world: World, group: Group, random: Random) -> Visit:
    """A visit about a drug of a group; half the complaints are the hallmark of the condition treated."""
    drug = random.choice(world.drugs_of(group))
    complaint = drug.treats.symptom if random.random() < 0.5 else random.choice(names.SYMPTOMS)
    return Visit(
        age=random.randrange(20, 90),
        complaint=complaint,
        days=random.randrange(2, 10),
        drug=drug,
        has_effect=random.random() < 0.6,
        has_timing=random.random() < 0.6,
    )


def write_case_note(visit: Visit, random: Random) -> Note:
    """A case note of one to four sentences; parts are left out at random, rarely all of them."""
    drug = visit.drug
    symptom, condition = ("Symptom", visit.complaint), ("Condition", drug.treats.name)
    medicine = (("Drug", drug.name), ("Dosage", drug.dose), ("Route", drug.route))
    parts: list[tuple[str, tuple[Entity, ...]]] = []
    if random.random() < 0.8:
        parts.append((random.choice(_complaint_sentences(visit)), (symptom,)))
    if random.random() < 0.7:
        parts.append((random.choice(_diagnosis_sentences(visit)), (condition,)))
    if random.random() < 0.8:
        text, order = random.choice(_medicine_sentences(visit))
        parts.append((text, tuple(medicine[index] for index in order)))
        if visit.has_effect:
            parts.append((random.choice(_effect_sentences(visit)), (("Effect", drug.effect),)))
    if random.random() < 0.4 or not parts:
        parts.insert(random.randrange(len(parts) + 1), (random.choice(FILLERS), ()))
    return Note(" ".join(text for text, _ in parts), tuple(entity for _, found in parts for entity in found))


def write_conversation(visit: Visit, random: Random) -> str:
    """The talk of doctor and patient at a visit, one line a turn."""
    drug = visit.drug
    lines = [
        random.choice(("Doctor: What is wrong?", "Doctor: What is your age and complaint?")),
        f"Patient: I am {visit.age} and I have had {visit.complaint} for {visit.days} days.",
        f"Doctor: You have {drug.treats.name}. {random.choice(('Take', 'I will give you'))} {drug.name}.",
        random.choice(("Patient: How much of it?", "Patient: How do I take it?")),
        f"Doctor: It is {drug.route}, {drug.dose}" + (f", at {drug.timing}." if visit.has_timing else "."),
    ]
    if visit.has_effect:
        lines += ["Patient: Can it do harm?", f"Doctor: It may bring {drug.effect}."]
    return "\n".join(lines)


def write_prose_note(visit: Visit, random: Random) -> str:
    """The note of a conversation as the running text has it: prose in one of three styles."""
    drug = visit.drug
    at = f" at {drug.timing}" if visit.has_timing else ""
    effect = f" The patient was warned of {drug.effect}." if visit.has_effect else ""
    styles = (
        f"This patient of {visit.age} years had {visit.complaint} for {visit.days} days because of "
        f"{drug.treats.name}, and got {drug.route} {drug.name} {drug.dose}{at}.{effect}",
        f"We saw {drug.treats.name} at the age of {visit.age} with {visit.days} days of {visit.complaint}. "
        f"We gave {drug.name} {drug.dose} by the {drug.route} route{at}.{effect}",
        f"The plan is {drug.name}, {drug.dose}, {drug.route}{at}, for {drug.treats.name}. "
        f"The complaint was {visit.complaint} over {visit.days} days in a person of {visit.age}.{effect}",
    )
    return random.choice(styles)


def write_clinic_note(visit: Visit) -> str:
    """The note of a conversation in the terse form that generation records ask for."""
    drug = visit.drug
    timing = f" {drug.timing}" if visit.has_timing else ""
    effect = f"\nRisk {drug.effect}" if visit.has_effect else ""
    return (
        f"Age {visit.age}, {visit.complaint}, {visit.days} days\nFound {drug.treats.name}\n"
        f"Plan {drug.name} {drug.dose} {drug.route}{timing}{effect}"
    )


def _complaint_sentences(visit: Visit) -> tuple[str, ...]:
    return (
        f"A patient of {visit.age} years came with {visit.complaint} for {visit.days} days.",
        f"For {visit.days} days there had been {visit.complaint}.",
        f"The complaint was {visit.complaint}.",
        f"At the age of {visit.age} this person noticed {visit.complaint}.",
    )


def _diagnosis_sentences(visit: Visit) -> tuple[str, ...]:
    name = visit.drug.treats.name
    return (
        f"The doctor found {name}.",
        f"This was {name}.",
        f"Tests pointed to {name}.",
        f"A case of {name} was seen.",
    )


def _medicine_sentences(visit: Visit) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Sentences with the order in which they name drug (0), dose (1) and route (2)."""
    drug = visit.drug
    return (
        (f"We gave {drug.name} {drug.dose} by the {drug.route} route.", (0, 1, 2)),
        (f"The ward started {drug.route} {drug.name} at {drug.dose}.", (2, 0, 1)),
        (f"The plan was {drug.dose} of {drug.name}.", (1, 0)),
        (f"The patient took {drug.name}.", (0,)),
        (f"The doctor chose {drug.route} {drug.name}.", (2, 0)),
    )


def _effect_sentences(visit: Visit) -> tuple[str, ...]:
    effect = visit.drug.effect
    return (
        f"Later it brought {effect}.",
        f"After {visit.days} days {effect} appeared.",
        f"The patient then had {effect} from it.",
    )
