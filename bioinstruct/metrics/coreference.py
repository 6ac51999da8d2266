"""Antecedent phrases: token-level precision, recall and F1 averaged over snippets, and exact match."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from bioinstruct.statistics import Estimate, bootstrap_mean, standard_error


class TokenScore(NamedTuple):
    """Overlap of one predicted phrase with its closest antecedent."""

    precision: float
    recall: float
    f1: float
    exact: float


def token_score(predicted: str, antecedents: Sequence[str]) -> TokenScore:
    """The best score over the accepted antecedents: word tokens as multisets, casefolded."""
    return max(
        (_pair_score(predicted, text) for text in antecedents), key=lambda score: (score.f1, score.exact)
    )


def token_estimates(scores: Sequence[TokenScore]) -> dict[str, Estimate]:
    """Means over snippets with bootstrap intervals."""
    signature = "coreference|tokens:\\w+ casefolded|best antecedent|average:snippets|ci:bootstrap1000"
    estimates = {}
    for position, field in enumerate(TokenScore._fields):
        values = [float(score[position]) for score in scores]
        low, high = bootstrap_mean(values)
        name = "exact_match" if field == "exact" else f"token_{field}"
        mean = sum(values) / max(len(values), 1)
        estimates[name] = Estimate(mean, low, high, len(values), signature, standard_error(values))
    return estimates


def _pair_score(predicted: str, antecedent: str) -> TokenScore:
    first, second = (Counter(re.findall(r"\w+", text.casefold())) for text in (predicted, antecedent))
    common = (first & second).total()
    if not common:
        return TokenScore(0.0, 0.0, 0.0, 0.0)
    precision, recall = common / first.total(), common / second.total()
    f1 = 2 * common / (first.total() + second.total())
    words = [re.findall(r"\w+", text.casefold()) for text in (predicted, antecedent)]
    return TokenScore(precision, recall, f1, float(words[0] == words[1]))
