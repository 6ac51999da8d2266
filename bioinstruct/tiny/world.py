"""The fictional formulary: drugs, conditions and one consistent set of facts about them, from a seed.

Every drug and condition belongs to one of three groups: `train` (60 %) is what instruction records mention,
`dev` and `test` (20 % each) are held out from them. A fact never links two groups, so that a record about a
train drug names no held-out condition. The running text is about all three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Literal

from bioinstruct.tiny import names

Group = Literal["train", "dev", "test"]
GROUPS: tuple[Group, ...] = ("train", "dev", "test")

WORLD_SEED = 0
"""Seed of the world that the shipped model has read about."""
NUM_DRUGS = 120
NUM_CONDITIONS = 72
EVALUATED_SHARE = 0.2
"""Share of the entities in each of `dev` and `test`."""


@dataclass(frozen=True)
class Condition:
    """An invented condition."""

    name: str
    group: Group
    symptom: str
    """Its hallmark; no other condition has it."""
    organ: str


@dataclass(frozen=True)
class Drug:
    """An invented drug with all its facts."""

    name: str
    group: Group
    treats: Condition
    avoid_in: Condition
    """The condition in which it must not be given; never the one it treats."""
    dose: str
    route: str
    timing: str
    effect: str
    """Its one side effect."""


@dataclass(frozen=True)
class World:
    """All entities of the formulary."""

    drugs: tuple[Drug, ...]
    conditions: tuple[Condition, ...]

    def drugs_of(self, group: Group) -> tuple[Drug, ...]:
        """The drugs of one group."""
        return tuple(drug for drug in self.drugs if drug.group == group)

    def conditions_of(self, group: Group) -> tuple[Condition, ...]:
        """The conditions of one group."""
        return tuple(condition for condition in self.conditions if condition.group == group)

    def entity_names(self, group: Group) -> frozenset[str]:
        """The names of the drugs and conditions of one group."""
        drugs, conditions = self.drugs_of(group), self.conditions_of(group)
        return frozenset([drug.name for drug in drugs] + [condition.name for condition in conditions])


@cache
def build_world(seed: int = WORLD_SEED) -> World:
    """The formulary of a seed: the same on every machine."""
    random = Random(f"tiny world {seed}")
    condition_names = names.invent_conditions(NUM_CONDITIONS, random)
    drug_names = names.invent_drugs(NUM_DRUGS, random)
    symptoms = random.sample(names.SYMPTOMS, NUM_CONDITIONS)
    conditions = tuple(
        Condition(name, group, symptom, random.choice(names.ORGANS))
        for name, group, symptom in zip(condition_names, _groups(NUM_CONDITIONS), symptoms, strict=True)
    )
    by_group = {group: [c for c in conditions if c.group == group] for group in GROUPS}
    drugs = tuple(
        _make_drug(name, index, by_group[group], random)
        for index, (name, group) in enumerate(zip(drug_names, _groups(NUM_DRUGS), strict=True))
    )
    return World(drugs, conditions)


def _groups(count: int) -> list[Group]:
    """Groups of `count` entities in the order of GROUPS."""
    held_out = round(count * EVALUATED_SHARE)
    shares: dict[Group, int] = {"train": count - 2 * held_out, "dev": held_out, "test": held_out}
    return [group for group in GROUPS for _ in range(shares[group])]


def _make_drug(name: str, index: int, conditions: Sequence[Condition], random: Random) -> Drug:
    """A drug of the group of `conditions`; counting through them gives every condition a drug."""
    treats = conditions[index % len(conditions)]
    return Drug(
        name=name,
        group=treats.group,
        treats=treats,
        avoid_in=random.choice([condition for condition in conditions if condition is not treats]),
        dose=random.choice(names.DOSES),
        route=random.choice(names.ROUTES),
        timing=random.choice(names.TIMINGS),
        effect=random.choice(names.EFFECTS),
    )
