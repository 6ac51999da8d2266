"""Main effects and synergies of categories, contrasts between mixes, and what could be resolved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Literal

import numpy as np

from bioinstruct.analysis.estimates import (
    CONFIDENCE,
    Block,
    Contrast,
    bounded_contrast,
    combine,
    t_quantile,
)
from bioinstruct.analysis.outcomes import TaskKey
from bioinstruct.analysis.variants import Variant
from bioinstruct.categories import CATEGORIES, subset_label
from bioinstruct.statistics import holm

POWER = 0.8
"""Power at which the smallest detectable difference is stated."""

Kind = Literal["main effect", "synergy", "added last", "mix contrast", "relatedness"]


@dataclass(frozen=True)
class Effect:
    """One main effect, synergy or contrast on one family, or the reason why it cannot be estimated."""

    kind: Kind
    name: str
    family: str
    estimate: Contrast | None
    p_holm: float = float("nan")
    missing: str = ""


@dataclass(frozen=True)
class Layout:
    """The factors of a full grid, and what is held in every tuned cell."""

    factors: tuple[str, ...]
    held: tuple[str, ...]

    def label(self, present: Iterable[str]) -> str:
        """The category label of the cell with these factors present."""
        return subset_label([*present, *self.held])


def layout_of(variant: Variant) -> Layout:
    """Factors = categories in some tuned cell but not in all; `other` in every tuned cell is held in."""
    includes = [set(cells[0].include) for category, cells in variant.cells.items() if category != "none"]
    held = set.intersection(*includes) if includes else set()
    if len(includes) < 2 or held - {"other"}:
        held = set()
    union = set().union(*includes) - held
    return Layout(
        factors=tuple(name for name in CATEGORIES if name in union),
        held=tuple(name for name in CATEGORIES if name in held),
    )


def factorial_effects(variant: Variant, block: Block) -> list[Effect]:
    """Main effects and pairwise synergies of a full 2^k grid on each family.

    Main effect of A: mean over all subsets of the other categories of (with A) − (without A). Synergy of A
    and B: mean over all subsets of the rest of (both − only A − only B + neither), what the pair brings
    beyond the sum of its parts. A cell that is missing leaves the effects open, and says which.
    """
    layout = layout_of(variant)
    effects: list[Effect] = []
    for family, keys in block.families().items():
        for name in layout.factors:
            effects.append(_effect("main effect", (name,), layout=layout, block=block, family=family, keys=keys))
        for pair in combinations(layout.factors, 2):
            effects.append(_effect("synergy", pair, layout=layout, block=block, family=family, keys=keys))
    return effects


def factorial_weights(layout: Layout, of: Sequence[str]) -> dict[str, float]:
    """Category → weight of the main effect (one name) or synergy (two names)."""
    rest = [name for name in layout.factors if name not in of]
    weights = {}
    for present in product([False, True], repeat=len(layout.factors)):
        subset = [name for name, on in zip(layout.factors, present, strict=True) if on]
        sign = (-1) ** sum(name not in subset for name in of)
        weights[layout.label(subset)] = sign / 2 ** len(rest)
    return weights


def _effect(
    kind: Kind, of: Sequence[str], *, layout: Layout, block: Block, family: str, keys: Sequence[TaskKey]
) -> Effect:
    weights = factorial_weights(layout, of)
    name = " × ".join(one.upper() for one in of)
    lacking = [category for category in weights if not block.has(category, keys)]
    if lacking:
        needed = ", ".join(lacking) if len(lacking) < 5 else f"{len(lacking)} more cells"
        return Effect(kind, name, family, None, missing=f"needs {needed}")
    return Effect(kind, name, family, bounded_contrast(block, combine(weights, keys)))


def _correct_effects(effects: Sequence[Effect]) -> list[Effect]:
    known = {str(i): effect.estimate.p for i, effect in enumerate(effects) if effect.estimate is not None}
    corrected = holm(known)
    return [replace(e, p_holm=corrected[str(i)]) if str(i) in corrected else e for i, e in enumerate(effects)]


def relatedness(variant: Variant, block: Block) -> Effect | None:
    """Whether related instructions help most: main effect on the own family minus on the others.

    Averaged over the categories whose family was tested; None without a full grid and two such families.
    """
    layout = layout_of(variant)
    families = block.families()
    own = [name for name in layout.factors if name in families]
    if len(own) < 2:
        return None
    weights: dict[tuple[str, str], float] = {}
    for category in own:
        for family in own:
            share = 1 / len(own) if family == category else -1 / (len(own) * (len(own) - 1))
            for name, weight in factorial_weights(layout, [category]).items():
                for key in families[family]:
                    place = (name, key.task)
                    weights[place] = weights.get(place, 0.0) + share * weight / len(families[family])
    if any(place not in block.outcomes for place in weights):
        return None
    estimate = bounded_contrast(block, weights)
    return Effect("relatedness", "own − other families", "all", estimate)


def mix_contrasts(variant: Variant, block: Block) -> list[Effect]:
    """Fixed-total design: every mix minus the reference (`all`, else the widest).

    The total is the same in every cell, so more of one category is less of another: no main effect exists.
    """
    mixes = [category for category in variant.categories if category != "none"]
    if len(mixes) < 2:
        return []
    reference = "all" if "all" in mixes else max(mixes, key=lambda name: len(variant.cells[name][0].include))
    effects = []
    for family, keys in block.families().items():
        for mix in mixes:
            if mix == reference:
                continue
            lacking = [name for name in (mix, reference) if not block.has(name, keys)]
            estimate = None if lacking else bounded_contrast(block, combine({mix: 1, reference: -1}, keys))
            missing = f"needs {', '.join(lacking)}" if lacking else ""
            effects.append(Effect("mix contrast", f"{mix} − {reference}", family, estimate, missing=missing))
    return effects


def study_effects(variant: Variant, block: Block) -> list[Effect]:
    """The effects that the variant's design allows, Holm-corrected together; none with one or two mixes."""
    if sum(category != "none" for category in variant.categories) < 3:
        return []
    if variant.design == "fixed_total":
        return _correct_effects(mix_contrasts(variant, block))
    effects = factorial_effects(variant, block)
    if all(effect.estimate is None for effect in effects):
        return _correct_effects([*added_last(variant, block), *effects])
    related = relatedness(variant, block)
    return _correct_effects(effects if related is None else [*effects, related])


def added_last(variant: Variant, block: Block) -> list[Effect]:
    """What each category adds to all the others: widest cell − the cell without it, where both were scored."""
    widest = max(variant.categories, key=lambda name: len(variant.cells[name][0].include))
    effects = []
    for family, keys in block.families().items():
        for name in variant.cells[widest][0].include:
            rest = subset_label(part for part in variant.cells[widest][0].include if part != name)
            if block.has(widest, keys) and block.has(rest, keys):
                estimate = bounded_contrast(block, combine({widest: 1, rest: -1}, keys))
                effects.append(Effect("added last", f"{widest} − {rest}", family, estimate))
    return effects


def detectable(estimate: Contrast) -> float:
    """Smallest true difference that a two-sided 5 % test of this precision finds with 80 % power."""
    quantiles = t_quantile((1 + CONFIDENCE) / 2, estimate.df) + t_quantile(POWER, estimate.df)
    return quantiles * estimate.se


def typical_detectable(estimates: Mapping[str, Sequence[Contrast]]) -> dict[str, float]:
    """Group → median smallest detectable difference of its contrasts."""
    return {name: float(np.median([detectable(one) for one in group])) for name, group in estimates.items() if group}
