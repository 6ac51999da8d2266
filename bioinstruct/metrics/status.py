"""Medication status: which medications a snippet mentions, and whether each is active.

After Agrawal et al. (2022, arXiv 2205.12689): extraction is scored on names; status either over all gold
medications (one that was missed is wrong: unconditional) or, as in that line of work, only over medications
that every compared system found (conditional).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bioinstruct.metrics.entities import Entity, normalise_surface
from bioinstruct.statistics import Estimate, bootstrap_macro_f1_counts, bootstrap_mean, standard_error

STATUSES = ("active", "discontinued", "neither")

Pair = tuple[str, str]
"""(gold status, predicted status) of one gold medication; the second is "" where it was missed."""


def name_entities(medications: Sequence[Entity]) -> list[Entity]:
    """(status, name) pairs as entities of one type, for matching on names."""
    return [("Medication", name) for _, name in medications]


def status_pairs(predicted: Sequence[Entity], gold: Sequence[Entity]) -> list[Pair]:
    """Gold and predicted status of every gold medication, matched one to one by name in order."""
    found: dict[str, list[str]] = {}
    for status, name in predicted:
        found.setdefault(normalise_surface(name), []).append(status)
    pairs = []
    for status, name in gold:
        statuses = found.get(normalise_surface(name))
        pairs.append((status, statuses.pop(0) if statuses else ""))
    return pairs


def status_estimates(
    snippets: Sequence[Sequence[Pair]], *, conditional: bool, compared: Sequence[str] = ("this run alone",)
) -> dict[str, Estimate]:
    """Status accuracy and macro-F1 over snippets.

    Conditional: only medications that were found count; `compared` names the systems that all found them.
    """
    kept = [[pair for pair in pairs if pair[1] or not conditional] for pairs in snippets]
    pairs = [pair for snippet in kept for pair in snippet]
    suffix = "_conditional" if conditional else ""
    scope = f"found by {'+'.join(compared)}" if conditional else "all gold, missed=wrong"
    right = [float(gold == predicted) for gold, predicted in pairs]
    macro, signature = _macro_f1(pairs)
    counts = [_class_counts(snippet) for snippet in kept]
    low, high = bootstrap_macro_f1_counts(counts, num_classes=len(STATUSES))
    accuracy_interval = bootstrap_mean(right)
    accuracy = sum(right) / max(len(right), 1)
    return {
        f"status_macro_f1{suffix}": Estimate(macro, low, high, len(pairs), f"{signature}|over:{scope}"),
        f"status_accuracy{suffix}": Estimate(
            accuracy, *accuracy_interval, len(pairs), f"accuracy|over:{scope}", standard_error(right)
        ),
    }


def conditional_status(
    systems: Mapping[str, Sequence[Sequence[Entity]]], gold: Sequence[Sequence[Entity]]
) -> dict[str, dict[str, Estimate]]:
    """Conditional accuracy and macro-F1 of several systems over the medications that all of them found.

    `systems` holds each system's predicted (status, name) pairs per snippet, `gold` the right ones.
    """
    by_system = {
        name: [status_pairs(predicted, right) for predicted, right in zip(snippets, gold, strict=True)]
        for name, snippets in systems.items()
    }
    shared = [
        [all(by_system[name][snippet][k][1] for name in by_system) for k in range(len(right))]
        for snippet, right in enumerate(gold)
    ]
    result = {}
    for name, snippets in by_system.items():
        kept = [
            [pair for pair, common in zip(pairs, flags, strict=True) if common]
            for pairs, flags in zip(snippets, shared, strict=True)
        ]
        result[name] = status_estimates(kept, conditional=True, compared=tuple(systems))
    return result


def _macro_f1(pairs: Sequence[Pair]) -> tuple[float, str]:
    import sklearn
    from sklearn.metrics import f1_score

    library = f"scikit-learn:{sklearn.__version__}"
    signature = f"macro_f1|{library}|classes:{len(STATUSES)}|zero_division:0|ci:bootstrap1000"
    if not pairs:
        return 0.0, signature
    gold, predicted = zip(*pairs, strict=True)
    return float(f1_score(gold, predicted, labels=STATUSES, average="macro", zero_division=0)), signature


def _class_counts(pairs: Sequence[Pair]) -> list[int]:
    """Hits, predicted and gold counts by status, one after the other."""
    hits = [sum(pair == (status, status) for pair in pairs) for status in STATUSES]
    predicted = [sum(pair[1] == status for pair in pairs) for status in STATUSES]
    return [*hits, *predicted, *(sum(pair[0] == status for pair in pairs) for status in STATUSES)]
