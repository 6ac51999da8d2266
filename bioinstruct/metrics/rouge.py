"""ROUGE in the flavours of the field, computed by the rouge-score package.

`rouge1`, `rouge2`, `rougeL`, `rougeLsum` are unstemmed; rougeLsum splits at line ends, which is what the
"ROUGE-L" of the ACI-Bench tables is (Yim et al. 2023). `rougeL_stemmed` is MedHELM's.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from bioinstruct.statistics import Estimate, bootstrap_mean, standard_error

UNSTEMMED = ("rouge1", "rouge2", "rougeL", "rougeLsum")
FLAVOURS = (*UNSTEMMED, "rougeL_stemmed")


def rouge_values(
    predictions: Sequence[str], references: Sequence[str], *, flavours: Sequence[str] = FLAVOURS
) -> dict[str, list[float]]:
    """F-measures of every pair in [0, 1], by flavour."""
    from rouge_score.rouge_scorer import RougeScorer

    plain = [name for name in flavours if name in UNSTEMMED]
    plain_scorer = RougeScorer(plain, use_stemmer=False)
    stemmed_scorer = RougeScorer(["rougeL"], use_stemmer=True)
    values: dict[str, list[float]] = {name: [] for name in flavours}
    for prediction, reference in zip(predictions, references, strict=True):
        for name, scored in plain_scorer.score(reference, prediction).items():
            values[name].append(float(scored.fmeasure))
        if "rougeL_stemmed" in values:
            stemmed = stemmed_scorer.score(reference, prediction)
            values["rougeL_stemmed"].append(float(stemmed["rougeL"].fmeasure))
    return values


def rouge_estimates(values: dict[str, list[float]]) -> dict[str, Estimate]:
    """Means over items with bootstrap intervals."""
    return {name: _estimate(name, scores) for name, scores in values.items()}


def _estimate(name: str, scores: list[float]) -> Estimate:
    stem, split = name.endswith("_stemmed"), "newline" if name == "rougeLsum" else "none"
    flavour = name.removesuffix("_stemmed")
    signature = (
        f"rouge-score:{version('rouge-score')}|{flavour}|stem:{stem}|split:{split}|fmeasure|ci:bootstrap1000"
    )
    low, high = bootstrap_mean(scores)
    return Estimate(
        sum(scores) / max(len(scores), 1), low, high, len(scores), signature, standard_error(scores)
    )
