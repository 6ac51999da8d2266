"""Intervals, paired tests and detectable differences, on plain sequences.

Everything random takes a seed. Bootstraps are percentile bootstraps over items; paired ones draw the same
items from both runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NUM_REPLICATES = 1000
Z95 = 1.959963984540054
"""97.5 % quantile of the standard normal distribution."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """One metric with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int
    signature: str
    """Library, version, flavour and options, like sacrebleu's."""
    standard_error: float | None = None
    """sd(n−1)/√n where the metric is a mean over items."""


class Interval(NamedTuple):
    """Ends of a 95 % interval."""

    low: float
    high: float


class PairedTest(NamedTuple):
    """Second run minus first run on the same items."""

    difference: float
    low: float
    high: float
    p_value: float
    n: int
    method: str


class CellMean(NamedTuple):
    """Mean of a cell over its seeds, with the pooled interval."""

    mean: float
    low: float
    high: float
    num_seeds: int


def standard_error(values: Sequence[float]) -> float:
    """sd(n−1)/√n; 0 for fewer than two values."""
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def wilson_interval(num_right: int, n: int) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927); (0, 1) when nothing was observed."""
    if n == 0:
        return Interval(0.0, 1.0)
    share, z2 = num_right / n, Z95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return Interval(0.0 if num_right == 0 else centre - half, 1.0 if num_right == n else centre + half)


def resampled_sums(values: Floats, *, seed: int = 0, num_replicates: int = NUM_REPLICATES) -> Floats:
    """Sums over n items drawn with replacement, per replicate and column; n and seed fix the draws."""
    n, num_columns = values.shape
    generator = np.random.default_rng(seed)
    sums = np.empty((num_replicates, num_columns))
    block = max(1, 1_000_000 // n)
    for start in range(0, num_replicates, block):
        stop = min(start + block, num_replicates)
        draws = generator.integers(n, size=(stop - start, n))  # (block, n)
        for column in range(num_columns):
            sums[start:stop, column] = values[:, column][draws].sum(axis=1)
    return sums  # (replicates, columns)


def bootstrap_mean(values: Sequence[float], *, seed: int = 0) -> Interval:
    """Percentile bootstrap interval of a mean over items."""
    if not values:
        return Interval(0.0, 1.0)
    column = np.asarray(values, dtype=np.float64)[:, None]
    return percentile_interval(resampled_sums(column, seed=seed)[:, 0] / len(values))


def micro_prf(true_positives: float, predicted: float, gold: float) -> tuple[float, float, float]:
    """Micro precision, recall and F1; each 0 where its denominator is 0."""
    precision = true_positives / predicted if predicted else 0.0
    recall = true_positives / gold if gold else 0.0
    return precision, recall, 2 * true_positives / (predicted + gold) if predicted + gold else 0.0


def bootstrap_micro_prf(
    counts: Sequence[tuple[int, int, int]], *, seed: int = 0
) -> tuple[Interval, Interval, Interval]:
    """Percentile bootstrap intervals of micro precision, recall and F1.

    `counts` holds (true positives, predicted, gold) of each item.
    """
    if not counts:
        return Interval(0.0, 1.0), Interval(0.0, 1.0), Interval(0.0, 1.0)
    hits, predicted, gold = resampled_sums(np.asarray(counts, dtype=np.float64), seed=seed).T
    ratios = (_ratio(hits, predicted), _ratio(hits, gold), _ratio(2 * hits, predicted + gold))
    return percentile_interval(ratios[0]), percentile_interval(ratios[1]), percentile_interval(ratios[2])


def bootstrap_macro_f1(
    choices: Sequence[int], targets: Sequence[int], *, num_classes: int, seed: int = 0
) -> Interval:
    """Percentile bootstrap interval of macro-F1 over all classes; a choice of −1 is wrong in every class."""
    if not targets:
        return Interval(0.0, 1.0)
    classes = np.arange(num_classes)
    chosen = np.asarray(choices)[:, None] == classes  # (n, classes)
    wanted = np.asarray(targets)[:, None] == classes
    counts = np.concatenate([chosen & wanted, chosen, wanted], axis=1).astype(np.float64)
    return _macro_f1_interval(counts, seed=seed)


def bootstrap_macro_f1_counts(
    counts: Sequence[Sequence[int]], *, num_classes: int, seed: int = 0
) -> Interval:
    """As bootstrap_macro_f1, for items that hold several decisions.

    `counts` holds per item the hits of every class, then the predicted and the gold counts of every class.
    """
    if not counts:
        return Interval(0.0, 1.0)
    matrix = np.asarray(counts, dtype=np.float64)
    if matrix.shape[1] != 3 * num_classes:
        raise ValueError(f"expected {3 * num_classes} counts per item, found {matrix.shape[1]}")
    return _macro_f1_interval(matrix, seed=seed)


def _macro_f1_interval(counts: Floats, *, seed: int) -> Interval:
    hits, predicted, gold = np.split(resampled_sums(counts, seed=seed), 3, axis=1)
    return percentile_interval(_ratio(2 * hits, predicted + gold).mean(axis=1))


def percentile_interval(replicates: Floats) -> Interval:
    """The central 95 % of the replicates."""
    low, high = np.quantile(replicates, [0.025, 0.975])
    return Interval(float(low), float(high))


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> PairedTest:
    """Exact two-sided McNemar test of right/wrong on the same items; the difference with its Wald interval.

    The p-value is binomial over the discordant items, 1 when there are none.
    """
    from scipy.stats import binomtest

    n = _paired_length(first, second)
    gained = sum(b and not a for a, b in zip(first, second, strict=True))
    lost = sum(a and not b for a, b in zip(first, second, strict=True))
    p_value = float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    difference = (gained - lost) / n
    half = Z95 * math.sqrt(max(gained + lost - (gained - lost) ** 2 / n, 0.0)) / n
    return PairedTest(difference, difference - half, difference + half, p_value, n, "mcnemar_exact")


def paired_bootstrap(first: Sequence[float], second: Sequence[float], *, seed: int = 0) -> PairedTest:
    """Paired bootstrap of a difference of means over items."""
    n = _paired_length(first, second)
    gains = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    replicates = resampled_sums(gains[:, None], seed=seed, num_replicates=10 * NUM_REPLICATES)[:, 0] / n
    return _bootstrap_test(float(gains.mean()), replicates, n, "paired_bootstrap")


def paired_bootstrap_micro_f1(
    first: Sequence[tuple[int, int, int]], second: Sequence[tuple[int, int, int]], *, seed: int = 0
) -> PairedTest:
    """Paired bootstrap of a difference of micro-F1, from (true positives, predicted, gold) per item."""
    n = _paired_length(first, second)
    both = np.concatenate([np.asarray(first, np.float64), np.asarray(second, np.float64)], axis=1)  # (n, 6)
    sums = resampled_sums(both, seed=seed, num_replicates=10 * NUM_REPLICATES)
    before = _ratio(2 * sums[:, 0], sums[:, 1] + sums[:, 2])
    after = _ratio(2 * sums[:, 3], sums[:, 4] + sums[:, 5])
    totals = both.sum(axis=0)
    difference = micro_prf(*totals[3:])[2] - micro_prf(*totals[:3])[2]
    return _bootstrap_test(difference, after - before, n, "paired_bootstrap_micro_f1")


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down adjusted p-values (Holm 1979), in the given order of the names."""
    ranked = sorted(p_values, key=lambda name: p_values[name])
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(ranked):
        largest = max(largest, min(1.0, (len(ranked) - rank) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}


def smallest_detectable_difference(n: int, *, share: float = 0.5) -> float:
    """Half-width of the 95 % interval of a proportion: no smaller gap can be seen on n items (100 items:
    ±0.098)."""
    return Z95 * math.sqrt(share * (1 - share) / n) if n else 1.0


def paired_detectable_difference(discordant: float, n: int, *, power: float = 0.8) -> float:
    """Smallest accuracy difference a paired test at 5 % finds with the given power.

    `discordant` is the share of items on which the two runs differ (Connor 1987, without his small
    correction).
    """
    from scipy.stats import norm

    return float((Z95 + norm.ppf(power)) * math.sqrt(discordant / n)) if n else 1.0


def seed_pooled_intervals(cells: Mapping[str, Sequence[float]]) -> dict[str, CellMean]:
    """Mean of every cell over its seeds with a t interval on the variance pooled over all tuned cells.

    Seeds are few, so one variance is pooled over the cells and its degrees of freedom are Σ(seeds − 1).
    Without any repeated seed the interval is infinite: the variance is unknown, not zero.
    """
    from scipy.stats import t

    freedom = sum(len(values) - 1 for values in cells.values() if values)
    squares = sum(float(np.sum((np.asarray(v) - np.mean(v)) ** 2)) for v in cells.values() if len(v))
    result = {}
    for name, values in cells.items():
        if not values:
            continue
        mean = float(np.mean(values))
        half = math.inf
        if freedom:
            half = float(t.ppf(0.975, freedom)) * math.sqrt(squares / freedom / len(values))
        result[name] = CellMean(mean, mean - half, mean + half, len(values))
    return result


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def _paired_length(first: Sequence[object], second: Sequence[object]) -> int:
    if len(first) != len(second) or not first:
        raise ValueError(
            f"paired tests need the same items in both runs, found {len(first)} and {len(second)}"
        )
    return len(first)


def _bootstrap_test(difference: float, replicates: Floats, n: int, method: str) -> PairedTest:
    """Interval and two-sided p-value (twice the smaller tail share, at least 1/replicates)."""
    low, high = percentile_interval(replicates)
    tail = min(float((replicates <= 0).mean()), float((replicates >= 0).mean()))
    p_value = min(1.0, max(2 * tail, 1 / len(replicates)))
    return PairedTest(difference, low, high, p_value, n, method)
