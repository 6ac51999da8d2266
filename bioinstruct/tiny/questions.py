"""Questions about the facts of the formulary, with their answers and wrong options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from bioinstruct.tiny import names
from bioinstruct.tiny.world import Group, World

PHRASINGS: dict[str, tuple[str, ...]] = {
    "treats": ("Which condition does {} treat?", "Which condition is {} used for?"),
    "avoid_in": ("In which condition must {} not be given?", "Which condition does {} make worse?"),
    "dose": ("What is the dose of {}?", "How much {} should one get?"),
    "route": ("What is the route of {}?", "By which route does one get {}?"),
    "timing": ("At what time is {} taken?", "What is the best time for {}?"),
    "organ": ("Which organ is hit by {}?", "Which organ is the seat of {}?"),
    "drug_for": ("Which drug is used for {}?", "Which drug treats {}?"),
    "shown_by": ("Which condition shows in {}?", "What does {} point to?"),
}
"""Per relation, the ways to ask; the entity's name (shown_by: a symptom) takes the braces.

Every answer is one vocabulary entry, or a number and `mg`. Symptoms and side effects are never answers: of a phrase
of two words the untuned base recalls the second from the first, and scores far above chance without being asked.
"""

NUM_OPTIONS = 4


@dataclass(frozen=True)
class Fact:
    """One fact as something to ask."""

    relation: str
    entity: str
    answer: str
    wrong: tuple[str, ...]
    """Values that the relation does not take for this entity, all of the entity's own group."""
    tempting: str = ""
    """A wrong value that is nevertheless linked to the entity; always offered as an option."""

    def question(self, phrasing: int) -> str:
        """The fact asked in the phrasing of this number."""
        return PHRASINGS[self.relation][phrasing].format(self.entity)

    def options(self, random: Random) -> tuple[str, ...]:
        """The answer and three wrong options in random order."""
        tempting = [self.tempting] if self.tempting else []
        others = [value for value in self.wrong if value != self.tempting]
        chosen = [self.answer, *tempting, *random.sample(others, NUM_OPTIONS - 1 - len(tempting))]
        random.shuffle(chosen)
        return tuple(chosen)


def facts_of(world: World, group: Group) -> list[Fact]:
    """What is asked about the entities of one group: five facts per drug, three per condition."""
    drugs, conditions = world.drugs_of(group), world.conditions_of(group)
    condition_names = [condition.name for condition in conditions]
    facts: list[Fact] = []
    for drug in drugs:
        treats, avoid = drug.treats.name, drug.avoid_in.name
        facts += [
            Fact("treats", drug.name, treats, _others(condition_names, treats), avoid),
            Fact("avoid_in", drug.name, avoid, _others(condition_names, avoid), treats),
            Fact("dose", drug.name, drug.dose, _others(names.DOSES, drug.dose)),
            Fact("route", drug.name, drug.route, _others(names.ROUTES, drug.route)),
            Fact("timing", drug.name, drug.timing, _others(names.TIMINGS, drug.timing)),
        ]
    for condition in conditions:
        treating = [drug.name for drug in drugs if drug.treats is condition]
        avoided = [drug.name for drug in drugs if drug.avoid_in is condition]
        others = tuple(drug.name for drug in drugs if drug.name not in treating)
        facts += [
            Fact("shown_by", condition.symptom, condition.name, _others(condition_names, condition.name)),
            Fact("organ", condition.name, condition.organ, _others(names.ORGANS, condition.organ)),
            Fact("drug_for", condition.name, treating[0], others, avoided[0] if avoided else ""),
        ]
    return facts


def _others(values: Sequence[str], answer: str) -> tuple[str, ...]:
    return tuple(value for value in dict.fromkeys(values) if value != answer)
