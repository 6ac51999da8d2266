"""How far two labellings agree: Cohen's kappa, macro F1, F1 of every category."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bioinstruct.categories import CATEGORIES, FACTORS


@dataclass(frozen=True)
class Agreement:
    """Agreement of predicted with true labels over `num_records`."""

    num_records: int
    accuracy: float
    kappa: float
    """Cohen's kappa: 0 is chance, 1 is the same label everywhere."""
    macro_f1: float
    """Mean F1 of the three factors qa, ie, gen."""
    macro_f1_all: float
    """Mean F1 of all four categories."""
    f1: dict[str, float]


def measure_agreement(truth: Sequence[str], predicted: Sequence[str]) -> Agreement:
    """Agreement of two labellings in the same order; F1 of a category that neither uses counts as 0."""
    pairs = Counter(zip(truth, predicted, strict=True))
    total = len(truth)
    true_counts, predicted_counts = Counter(truth), Counter(predicted)
    agreed = sum(number for (left, right), number in pairs.items() if left == right)
    f1 = {name: 2 * pairs[name, name] / max(1, true_counts[name] + predicted_counts[name]) for name in CATEGORIES}
    chance = sum(true_counts[name] * predicted_counts[name] for name in true_counts) / (total * total)
    observed = agreed / total
    kappa = 1.0 if chance == 1 else (observed - chance) / (1 - chance)
    factors = sum(f1[name] for name in FACTORS) / len(FACTORS)
    return Agreement(total, observed, kappa, factors, sum(f1.values()) / len(f1), f1)
