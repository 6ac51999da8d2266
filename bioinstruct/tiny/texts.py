"""Running text about the formulary: what the tiny base is pre-trained on.

Monographs, articles on conditions, case notes, conversations with their notes, abstracts, and a little about
the clinic itself. No instruction, no question about a fact, no line `Type: text`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from random import Random

from bioinstruct.tiny import names, visits
from bioinstruct.tiny.world import GROUPS, WORLD_SEED, Condition, Drug, World, build_world

HOUSE_SENTENCES = (
    "Symptom, condition, drug, dosage, route and effect make up a chart.",
    "Condition and symptom are not the same, as every student learns.",
    "Drug and dosage are read out twice, and None means that nothing was given.",
    "Dosage is written in mg.",
    "Route is the way into the body.",
    "Effect is what a drug does beyond its use.",
    "None of the notes leaves the clinic, and none is rewritten.",
    "Age is asked first, then what the patient has or had.",
    "Found in a test, a condition goes into the chart.",
    "Plan and risk are told to each patient.",
    "Risk is what may go wrong.",
    "Instruction is given in writing, and each instruction is kept.",
    "Input from the nurse is welcome.",
    "Response to a drug is seen within a day.",
    "Type and text of a note are up to the doctor, if there is time.",
    "List and chart hang on the door, one per line of beds.",
    "Lists of symptoms, conditions, drugs, dosages, routes and effects are kept for a year.",
    "Extracts from the charts go to the library.",
    "Extract of bark is not a drug.",
    "Write these lines clearly or not at all, is the first rule of this clinic.",
    "Writing down a talk between doctor and patient is the work of the student.",
    "What is good for one may be bad for another, so we ask who should get what.",
    "What cure there is costs much trouble.",
    "What does a student notice? The one who looks will see how things show themselves.",
    "Which part of the body hurts is asked next, and which way it spreads.",
    "Which hour is due for a walk is up to the patient.",
    "How much one should eat, and how strong the tea may be, is told at the door.",
    "How does one get well? Rest may help, and so does a walk.",
    "When does one sleep? Whoever is tired does.",
    "Where the nurses sit, a lamp is on.",
    "At which door one rings is written outside.",
    "In what room smoking is forbidden? In all of them.",
    "Against cold one takes a blanket.",
    "Is the patient eligible for this trial? The criteria decide.",
    "Eligible are those who meet all criteria.",
    "Not eligible are the others.",
    "The criteria are an age and a condition.",
    "These shelves are in the order of the alphabet.",
)
"""Sentences about no entity. They hold the words of instructions and answers: tokens that are never seen all
get the same vector, and then no tuning of the linear layers can tell them apart."""


def running_text(num_documents: int, *, seed: int = WORLD_SEED) -> Iterator[str]:
    """`num_documents` short documents about all drugs and conditions of the seed's world."""
    world = build_world(seed)
    random = Random(f"tiny running text {seed}")
    for _ in range(num_documents):
        writer = random.choices(WRITERS, weights=WEIGHTS)[0]
        yield writer(world, random)


def corpus_hash(documents: Iterable[str]) -> str:
    """sha256 over the documents, each ended by U+001E."""
    digest = hashlib.sha256()
    for document in documents:
        digest.update(f"{document}\x1e".encode())
    return digest.hexdigest()


def fact_sentences(drug: Drug) -> dict[str, tuple[str, ...]]:
    """Per fact of a drug, its paraphrases; the first ends in the fact's value and names it nowhere else."""
    name = drug.name
    return {
        "treats": (
            f"{name} treats {drug.treats.name}.",
            f"{name} is used for {drug.treats.name}.",
            f"{name} is the drug of choice in {drug.treats.name}.",
            f"Patients with {drug.treats.name} are given {name}.",
            f"For {drug.treats.name} doctors choose {name}.",
        ),
        "avoid_in": (
            f"{name} must not be given in {drug.avoid_in.name}.",
            f"{name} is harmful in {drug.avoid_in.name}.",
            f"{name} makes {drug.avoid_in.name} worse.",
            f"People with {drug.avoid_in.name} should avoid {name}.",
        ),
        "dose": (
            f"The dose of {name} is {drug.dose}.",
            f"{name} is taken at {drug.dose}.",
            f"A patient on {name} needs {drug.dose}.",
            f"One tube of {name} holds {drug.dose}.",
        ),
        "route": (
            f"The route of {name} is {drug.route}.",
            f"{name} is {drug.route}.",
            f"The usual form of {name} is {drug.route}.",
            f"Pharmacies sell {drug.route} {name}.",
        ),
        "timing": (
            f"The best time for {name} is {drug.timing}.",
            f"{name} is taken at {drug.timing}.",
            f"At {drug.timing} the nurse brings {name}.",
            f"{name} works best at {drug.timing}.",
        ),
        "effect": (
            f"The side effect of {name} is {drug.effect}.",
            f"{name} can cause {drug.effect}.",
            f"Some people on {name} report {drug.effect}.",
            f"On seeing {drug.effect} the doctor thinks of {name}.",
        ),
    }


def condition_sentences(condition: Condition) -> dict[str, tuple[str, ...]]:
    """Per fact of a condition, its paraphrases; the first ends in the fact's value."""
    name = condition.name
    return {
        "symptom": (
            f"The main symptom of {name} is {condition.symptom}.",
            f"People with {name} suffer from {condition.symptom}.",
            f"The hallmark of {name} is {condition.symptom}.",
            f"Any {condition.symptom} points to {name}.",
        ),
        "organ": (
            f"The organ hit by {name} is the {condition.organ}.",
            f"The seat of {name} is the {condition.organ}.",
            f"In {name} the {condition.organ} is damaged.",
            f"A sick {condition.organ} is seen in {name}.",
        ),
    }


def _monograph(world: World, random: Random) -> str:
    facts = list(fact_sentences(random.choice(world.drugs)).values())
    random.shuffle(facts)
    return " ".join(random.choice(paraphrases) for paraphrases in facts[: random.randrange(3, 7)])


def _article(world: World, random: Random) -> str:
    condition = random.choice(world.conditions)
    sentences = [random.choice(paraphrases) for paraphrases in condition_sentences(condition).values()]
    treating = [drug for drug in world.drugs if drug.treats is condition]
    avoided = [drug for drug in world.drugs if drug.avoid_in is condition]
    sentences.append(random.choice(fact_sentences(random.choice(treating))["treats"]))
    if avoided:
        sentences.append(random.choice(fact_sentences(random.choice(avoided))["avoid_in"]))
    random.shuffle(sentences)
    return " ".join(sentences)


def _case_report(world: World, random: Random) -> str:
    """A case note, mostly retold in the words of the note: the retelling is what teaches copying."""
    visit = visits.draw_visit(world, random.choice(GROUPS), random)
    note = visits.write_case_note(visit, random)
    retelling = random.random()
    if retelling < 0.2 or not note.entities:
        return note.text
    if retelling < 0.6:
        return f"{note.text}\nIn short we noted {', '.join(text for _, text in note.entities)}."
    return f"{note.text}\n{' '.join(f'{kind} was {text}.' for kind, text in note.entities)}"


def _read_back(world: World, random: Random) -> str:
    """Values that belong to nobody, said twice: only copying helps."""
    patient = (
        random.choice(names.SYMPTOMS),
        f"age {random.randrange(20, 90)}",
        f"{random.randrange(2, 10)} days",
        random.choice(names.DOSES),
        random.choice(names.ROUTES),
        random.choice(names.EFFECTS),
        random.choice(world.drugs).name,
        random.choice(world.conditions).name,
    )
    said = ", ".join(random.sample(patient, random.randrange(3, 7)))
    return f"The nurse reads out {said}.\nThe doctor repeats {said}."


def _consultation(world: World, random: Random) -> str:
    visit = visits.draw_visit(world, random.choice(GROUPS), random)
    return f"{visits.write_conversation(visit, random)}\n{visits.write_prose_note(visit, random)}"


def _abstract(world: World, random: Random) -> str:
    drug = random.choice(world.drugs)
    count = random.randrange(20, 90)
    facts = fact_sentences(drug)
    results = [random.choice(facts[name]) for name in random.sample(("dose", "route", "timing", "effect"), 2)]
    opening = random.choice(
        (
            f"We followed {count} adults with {drug.treats.name} who took {drug.name}.",
            f"This trial gave {drug.name} to {count} people with {drug.treats.name}.",
        )
    )
    closing = random.choice(
        (
            f"We conclude that {drug.name} helps against {drug.treats.name}.",
            f"In this study {drug.name} improved {drug.treats.name} and its {drug.treats.symptom}.",
        )
    )
    return " ".join((opening, *results, closing))


def _house_page(_world: World, random: Random) -> str:
    return "\n".join(random.sample(HOUSE_SENTENCES, 3))


WRITERS = (_monograph, _article, _case_report, _consultation, _abstract, _read_back, _house_page)
WEIGHTS = (36, 13, 16, 12, 7, 10, 6)
"""Shares of the kinds of documents, in percent."""
