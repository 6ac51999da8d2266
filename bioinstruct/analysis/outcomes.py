"""What was measured: tasks under a protocol, and per category the headline metric seed by seed, item by item."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bioinstruct.analysis.cells import Cell, CellScore, Items
from bioinstruct.errors import UserError
from bioinstruct.statistics import Z95, Estimate

FAMILY_ORDER = ("qa", "nli", "ie", "gen")
HEADLINE_PROTOCOL = "alpaca"
"""The instruction-template protocol: families are averaged over it where a task has it."""


@dataclass(frozen=True)
class TaskKey:
    """One task under one protocol, with what every cell shares."""

    task: str
    family: str
    protocol: str
    protocol_hash: str
    split: str
    metric: str
    n: int
    baselines: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Outcome:
    """The headline metric of one category on one task, seed by seed."""

    means: np.ndarray
    """(S,) headline metric per seed."""
    values: np.ndarray | None
    """(S, n) per-item values whose mean over items is `means`; None where the items are not known."""
    reported_se: float
    """Item standard error from the reported intervals, used where items are not known."""
    is_tuned: bool
    """The untuned base is fixed: it has no seed variance."""
    is_binary: bool = False
    """Every item is right or wrong, which allows exact tests."""
    counts: tuple[tuple[int, int, int], ...] = ()
    """Micro-F1 of a single seed: (true positives, predicted, gold) of each item, for the bootstrap."""


def task_keys(cells: Iterable[Cell]) -> list[TaskKey]:
    """Every task and protocol that any cell was scored on, by family, task, then headline protocol first."""
    found: dict[tuple[str, str], TaskKey] = {}
    for cell in cells:
        for score in cell.scores:
            found.setdefault((score.task, score.protocol), _task_key(score))
    return sorted(found.values(), key=_task_order)


def _task_key(score: CellScore) -> TaskKey:
    return TaskKey(
        task=score.task,
        family=score.family,
        protocol=score.protocol,
        protocol_hash=score.protocol_hash,
        split=score.split,
        metric=score.headline,
        n=score.n,
        baselines=tuple(sorted(score.baselines.items())),
    )


def _task_order(key: TaskKey) -> tuple[int, str, str, bool, str]:
    rank = FAMILY_ORDER.index(key.family) if key.family in FAMILY_ORDER else len(FAMILY_ORDER)
    return (rank, key.family, key.task, key.protocol != HEADLINE_PROTOCOL, key.protocol)


def headline_keys(keys: Sequence[TaskKey]) -> list[TaskKey]:
    """One protocol per task: the headline protocol where the task has it, else its first."""
    first: dict[str, TaskKey] = {}
    for key in keys:
        first.setdefault(key.task, key)
    return list(first.values())


def outcome(cells: Sequence[Cell], key: TaskKey) -> Outcome | None:
    """The outcome of the done cells of one category on `key`; None if none of them was scored on it."""
    found = [score for cell in cells if cell.state == "done" for score in cell.scores if _is(score, key)]
    if not found:
        return None
    means = np.array([score.estimate.value for score in found])
    values = _values(found, cells[0].run_id)
    if values is not None:
        means = values.mean(axis=1)
    return Outcome(
        means=means,
        values=values,
        reported_se=float(np.sqrt(np.mean([_reported_se(score.estimate) ** 2 for score in found]))),
        is_tuned=cells[0].is_tuned,
        is_binary=values is not None and bool(np.isin(values, (0.0, 1.0)).all()),
        counts=_counts(found[0]) if len(found) == 1 else (),
    )


def _reported_se(estimate: Estimate) -> float:
    """The scorer's standard error, else the one its interval implies."""
    if estimate.standard_error is not None:
        return estimate.standard_error
    return (estimate.high - estimate.low) / (2 * Z95)


def _counts(score: CellScore) -> tuple[tuple[int, int, int], ...]:
    if score.items is None or score.reduction != "micro_f1":
        return ()
    columns = (score.items.true_positives, score.items.predicted, score.items.gold)
    return tuple((int(hit), int(said), int(gold)) for hit, said, gold in zip(*columns, strict=True))


def _is(score: CellScore, key: TaskKey) -> bool:
    return (score.task, score.protocol) == (key.task, key.protocol)


def _values(scores: Sequence[CellScore], run_id: str) -> np.ndarray | None:
    items = [score.items for score in scores]
    known = [one for one in items if one is not None and one.ids]
    if len(known) < len(items):
        return None
    if any(one.ids != known[0].ids for one in known):
        raise UserError(
            f"the score files of {scores[0].task} list other items in {run_id} than in another seed of it; "
            "evaluate both again with overwrite=true"
        )
    return np.stack([item_values(one, scores[0].reduction) for one in known])


def item_values(items: Items, reduction: str) -> np.ndarray:
    """Values (n,) whose mean is the headline metric.

    For a mean metric these are the items' own values. Micro-F1 = 2 TP / (predicted + gold) is a ratio of
    sums; its linearised values F + n (2 tp_i − F (predicted_i + gold_i)) / (P + G) have mean F exactly, and
    their variance over n is the delta-method variance of F, so one set of formulas serves both.
    """
    if reduction == "mean":
        return items.value
    sizes = items.predicted + items.gold
    total = float(sizes.sum())
    if total == 0:
        return np.zeros_like(sizes)
    f1 = 2 * float(items.true_positives.sum()) / total
    linear: np.ndarray = f1 + len(sizes) * (2 * items.true_positives - f1 * sizes) / total
    return linear
