"""Cells arranged as a grid: variants of the study, categories, seeds; one outcome per category and task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bioinstruct.analysis.cells import Cell, CellScore, Items
from bioinstruct.categories import CATEGORIES
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


@dataclass(frozen=True)
class Variant:
    """The part of a comparison that differs in category and seed only."""

    label: str
    """What sets it apart, such as `model=llama2_7b`; empty if there is one variant."""
    design: str
    cells: Mapping[str, tuple[Cell, ...]]
    """Category label → its cells, one per seed, in grid order."""
    base: Cell | None
    """The untuned model, if it is among the cells."""

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(self.cells)


def unique_cells(cells: Iterable[Cell]) -> list[Cell]:
    """Each run once, in order: a run may be named twice, by a sweep and by hand."""
    return list({cell.run_id: cell for cell in cells}.values())


def aligned(cells: Sequence[Cell]) -> list[Cell]:
    """The cells with one score per task and protocol: the largest item set that all of them were scored on.

    A run may hold scores of several limits or splits. Raises UserError, naming two runs, where a task and
    protocol has no prompts and items (protocol hash) in common.
    """
    hashes: dict[tuple[str, str], dict[str, dict[str, int]]] = {}
    for cell in cells:
        for score in cell.scores:
            by_run = hashes.setdefault((score.task, score.protocol), {})
            by_run.setdefault(cell.run_id, {})[score.protocol_hash] = score.n
    chosen = {key: _common_hash(*key, by_run) for key, by_run in hashes.items()}
    return [
        replace(cell, scores=tuple(s for s in cell.scores if s.protocol_hash == chosen[s.task, s.protocol]))
        for cell in cells
    ]


def _common_hash(task: str, protocol: str, by_run: Mapping[str, Mapping[str, int]]) -> str:
    """The protocol hash that every run has; of several, the one with most items."""
    (first, common), *rest = by_run.items()
    for run_id, known in rest:
        shared = {name: n for name, n in common.items() if name in known}
        if not shared:
            raise UserError(
                f"{task} ({protocol}) was scored on other prompts or items in {run_id} (protocol hash "
                f"{', '.join(known)}) than in {first} ({', '.join(common)}); allowed: one hash in common. "
                "Evaluate both with the same suite, split and tasks.limit: "
                f"bioinstruct-evaluate run={run_id} tasks=<suite>"
            )
        common = shared
    return max(common, key=lambda name: (common[name], name))


def category_key(cell: Cell) -> tuple[int, tuple[int, ...], str]:
    """Sorting key: none, singles, pairs, all."""
    known = tuple(CATEGORIES.index(name) for name in cell.include if name in CATEGORIES)
    return (len(cell.include), known, cell.category)


def variants_of(cells: Sequence[Cell]) -> list[Variant]:
    """Splits cells by what differs besides category and seed; the base joins each fitting variant."""
    tuned = sorted((cell for cell in cells if cell.is_tuned), key=category_key)
    bases = sorted((cell for cell in cells if not cell.is_tuned), key=lambda cell: cell.state != "done")
    keys = _telling_keys([cell for cell in tuned if cell.settings] or tuned)
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for cell in tuned:
        identity = tuple(_value(cell, key) for key in keys)
        if not cell.settings:  # a cell that failed before its config was saved
            identity = next((known for known in groups if _fits(cell, known, keys)), identity)
        groups.setdefault(identity, []).append(cell)
    if not groups:
        return [_variant("", base.design, [], base) for base in bases]
    variants = []
    for identity, members in sorted(groups.items(), key=lambda group: [_natural(value) for value in group[0]]):
        label = ", ".join(f"{_short(key)}={value}" for key, value in zip(keys, identity, strict=True))
        base = next((base for base in bases if _same_model(base, members[0])), None)
        variants.append(_variant(label, members[0].design, members, base))
    return variants


def _variant(label: str, design: str, members: Sequence[Cell], base: Cell | None) -> Variant:
    grouped: dict[str, list[Cell]] = {"none": [base]} if base is not None else {}
    for cell in members:
        grouped.setdefault(cell.category, []).append(cell)
    by_seed = {
        name: tuple(sorted(group, key=lambda cell: -1 if cell.seed is None else cell.seed))
        for name, group in grouped.items()
    }
    return Variant(label=label, design=design, cells=by_seed, base=base)


def _telling_keys(cells: Sequence[Cell]) -> list[str]:
    """The fewest keys, plain ones first, that tell the variants apart."""
    candidates = ["model", "data", "design", *sorted({key for cell in cells for key in cell.settings})]
    kept: list[str] = []
    num_groups = 1
    for key in candidates:
        tried = {tuple(_value(cell, name) for name in [*kept, key]) for cell in cells}
        if len(tried) > num_groups:
            kept.append(key)
            num_groups = len(tried)
    return kept


def _value(cell: Cell, key: str) -> str:
    plain = {"model": cell.model, "data": cell.data, "design": cell.design}
    return plain[key] if key in plain else cell.settings.get(key, "")


def _natural(value: str) -> tuple[float, str]:
    """Numbers by size, other texts after them."""
    try:
        return float(value), value
    except ValueError:
        return float("inf"), value


def _short(key: str) -> str:
    return key.rsplit(".", maxsplit=1)[-1] if key.startswith(("data.", "lora.")) else key


def _fits(cell: Cell, identity: tuple[str, ...], keys: Sequence[str]) -> bool:
    return all(not _value(cell, k) or _value(cell, k) == v for k, v in zip(keys, identity, strict=True))


def _same_model(base: Cell, cell: Cell) -> bool:
    """Whether `cell` was tuned from `base`: same model settings and template, as far as known."""
    if base.model != cell.model:
        return False
    shared = [key for key in base.settings if key in cell.settings and key.startswith(("model.", "template"))]
    return all(base.settings[key] == cell.settings[key] for key in shared)


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
