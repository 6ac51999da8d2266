"""The answers: gains over the untuned base, main effects and synergies, contrasts between mixes."""

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
    cell_weights,
    combine,
    contrast,
    t_quantile,
)
from bioinstruct.analysis.grid import TaskKey, Variant
from bioinstruct.categories import CATEGORIES, subset_label
from bioinstruct.statistics import holm, mcnemar, paired_bootstrap, paired_bootstrap_micro_f1

POWER = 0.8
"""Power at which the smallest detectable difference is stated."""

Kind = Literal["main effect", "synergy", "mix contrast", "relatedness"]


@dataclass(frozen=True)
class Ratio:
    """A relative gain with its 95 % interval: 0.5 is 50 % more than the base."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Gain:
    """What tuning on one subset changed against the untuned base, on one task or the mean of a family."""

    category: str
    family: str
    task: str | None
    """None: mean over the family's tasks."""
    difference: Contrast
    relative: Ratio | None
    """None: undefined, because the base scored 0."""
    test: str
    p: float
    p_holm: float = float("nan")
    """p after Holm's correction over all gains of the same table."""


@dataclass(frozen=True)
class Effect:
    """One main effect, synergy or contrast on one family, or the reason why it cannot be estimated."""

    kind: Kind
    name: str
    family: str
    estimate: Contrast | None
    p_holm: float = float("nan")
    missing: str = ""


def family_gains(block: Block) -> list[Gain]:
    """Gains of each tuned category on each family mean by the t test, Holm-corrected together."""
    gains = []
    for category in block.categories:
        for family, keys in block.families().items():
            if category != "none" and block.has(category, keys) and block.has("none", keys):
                difference = contrast(block, combine({category: 1, "none": -1}, keys))
                gains.append(
                    Gain(
                        category=category,
                        family=family,
                        task=None,
                        difference=difference,
                        relative=relative_gain(block, category, keys=keys),
                        test="t, items crossed with cells",
                        p=difference.p,
                    )
                )
    return _corrected(gains)


def task_gains(block: Block) -> list[Gain]:
    """Gains of each tuned category on each task, Holm-corrected together.

    With one seed the test is exact McNemar for right-or-wrong items and the paired bootstrap otherwise; with
    several seeds, the t test of the crossed contrast, which knows the spread between seeds.
    """
    gains = []
    for category in block.categories:
        for key in block.keys:
            if category != "none" and block.has(category, [key]) and block.has("none", [key]):
                difference = contrast(block, combine({category: 1, "none": -1}, [key]))
                test, p = _paired_test(block, category, key=key, fallback=difference)
                gains.append(
                    Gain(
                        category=category,
                        family=key.family,
                        task=key.task,
                        difference=difference,
                        relative=relative_gain(block, category, keys=[key]),
                        test=test,
                        p=p,
                    )
                )
    return _corrected(gains)


def _paired_test(block: Block, category: str, *, key: TaskKey, fallback: Contrast) -> tuple[str, float]:
    tuned, base = block.outcomes[category, key.task], block.outcomes["none", key.task]
    if tuned.values is None or base.values is None or not fallback.is_paired:
        return "z, unpaired: no item values", fallback.p
    if len(tuned.means) > 1 or block.seeds is not None:
        return "t, items crossed with cells", fallback.p
    if tuned.counts and base.counts:
        return "paired bootstrap", paired_bootstrap_micro_f1(base.counts, tuned.counts).p_value
    before, after = base.values[0].tolist(), tuned.values[0].tolist()
    if tuned.is_binary and base.is_binary:
        return "exact McNemar", mcnemar([v == 1 for v in before], [v == 1 for v in after]).p_value
    return "paired bootstrap", paired_bootstrap(before, after).p_value


def relative_gain(block: Block, category: str, *, keys: Sequence[TaskKey]) -> Ratio | None:
    """(category − none) / none with a delta-method interval; None where the base scored 0."""
    tuned = contrast(block, cell_weights(category, keys)).value
    base = contrast(block, cell_weights("none", keys)).value
    if base <= 0:
        return None
    if tuned <= 0:
        linear = contrast(block, combine({category: 1 / base, "none": -tuned / base**2}, keys))
        half = linear.high - linear.value
        return Ratio(value=tuned / base - 1, low=-1.0, high=tuned / base - 1 + half)
    log = contrast(block, combine({category: 1 / tuned, "none": -1 / base}, keys))
    half = log.high - log.value
    ratio = tuned / base
    return Ratio(value=ratio - 1, low=ratio * float(np.exp(-half)) - 1, high=ratio * float(np.exp(half)) - 1)


def _corrected(gains: Sequence[Gain]) -> list[Gain]:
    corrected = holm({str(index): gain.p for index, gain in enumerate(gains)})
    return [replace(gain, p_holm=corrected[str(index)]) for index, gain in enumerate(gains)]


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
        return Effect(kind, name, family, None, missing=f"needs {', '.join(lacking)}")
    return Effect(kind, name, family, contrast(block, combine(weights, keys)))


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
    estimate = contrast(block, weights)
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
            estimate = None if lacking else contrast(block, combine({mix: 1, reference: -1}, keys))
            missing = f"needs {', '.join(lacking)}" if lacking else ""
            effects.append(Effect("mix contrast", f"{mix} − {reference}", family, estimate, missing=missing))
    return effects


def study_effects(variant: Variant, block: Block) -> list[Effect]:
    """The effects that the variant's design allows, Holm-corrected together."""
    if variant.design == "fixed_total":
        return _correct_effects(mix_contrasts(variant, block))
    related = relatedness(variant, block)
    return _correct_effects([*factorial_effects(variant, block), *([] if related is None else [related])])


def detectable(estimate: Contrast) -> float:
    """Smallest true difference that a two-sided 5 % test of this precision finds with 80 % power."""
    quantiles = t_quantile((1 + CONFIDENCE) / 2, estimate.df) + t_quantile(POWER, estimate.df)
    return quantiles * estimate.se


def typical_detectable(estimates: Mapping[str, Sequence[Contrast]]) -> dict[str, float]:
    """Group → median smallest detectable difference of its contrasts."""
    return {name: float(np.median([detectable(one) for one in group])) for name, group in estimates.items() if group}
