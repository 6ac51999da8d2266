"""Matching of predicted and gold entities: (type, surface text) pairs, one to one.

Surfaces are compared casefolded with white space collapsed. The strict match follows the exact-span
convention of BLURB (Gu et al. 2021) on surfaces: a mention counts once per time it is written. Overlap: same
type and a common token.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from bioinstruct.statistics import Estimate, bootstrap_micro_prf, micro_prf

Entity = tuple[str, str]
Counts = tuple[int, int, int]
"""(true positives, predicted, gold) of one item."""


def normalise_surface(text: str) -> str:
    """Casefolded text with white space collapsed."""
    return " ".join(text.casefold().split())


def exact_counts(predicted: Sequence[Entity], gold: Sequence[Entity]) -> Counts:
    """Counts of strict one-to-one matches: same type, same surface."""
    first = Counter((kind, normalise_surface(text)) for kind, text in predicted)
    second = Counter((kind, normalise_surface(text)) for kind, text in gold)
    return (first & second).total(), len(predicted), len(gold)


def overlap_counts(predicted: Sequence[Entity], gold: Sequence[Entity]) -> Counts:
    """Counts of the largest one-to-one matching of same-type entities that share a token."""
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    if not predicted or not gold:
        return 0, len(predicted), len(gold)
    left, right = [_tokens(text) for _, text in predicted], [_tokens(text) for _, text in gold]
    shared = np.array(
        [
            [predicted[i][0] == gold[j][0] and bool(left[i] & right[j]) for j in range(len(gold))]
            for i in range(len(predicted))
        ]
    )
    rows, columns = linear_sum_assignment(shared, maximize=True)
    return int(shared[rows, columns].sum()), len(predicted), len(gold)


def micro_estimates(counts: Sequence[Counts], *, flavour: str, prefix: str = "") -> dict[str, Estimate]:
    """Micro precision, recall and F1 over all items with bootstrap intervals."""
    totals = [float(sum(item[position] for item in counts)) for position in range(3)]
    signature = f"entities|match:{flavour},one-to-one|case:folded|average:micro|ci:bootstrap1000"
    return {
        prefix + name: Estimate(value, interval.low, interval.high, len(counts), signature)
        for name, value, interval in zip(
            ("precision", "recall", "f1"), micro_prf(*totals), bootstrap_micro_prf(counts), strict=True
        )
    }


def _tokens(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))
