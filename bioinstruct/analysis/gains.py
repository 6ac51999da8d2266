"""Gains over the untuned base, absolute and relative, paired, Holm-corrected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bioinstruct.analysis.estimates import (
    Block,
    Contrast,
    bounded_contrast,
    cell_weights,
    combine,
    contrast,
)
from bioinstruct.analysis.outcomes import TaskKey
from bioinstruct.statistics import holm, mcnemar, paired_bootstrap, paired_bootstrap_micro_f1


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


def family_gains(block: Block) -> list[Gain]:
    """Gains of each tuned category on each family mean by the t test, Holm-corrected together."""
    gains = []
    for category in block.categories:
        for family, keys in block.families().items():
            if category != "none" and block.has(category, keys) and block.has("none", keys):
                difference = bounded_contrast(block, combine({category: 1, "none": -1}, keys))
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
                difference = bounded_contrast(block, combine({category: 1, "none": -1}, [key]))
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
