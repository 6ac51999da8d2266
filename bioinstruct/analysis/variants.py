"""Cells arranged as variants of a grid: one model and setting each, with categories and seeds inside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bioinstruct.analysis.cells import Cell
from bioinstruct.categories import CATEGORIES
from bioinstruct.errors import UserError

PLAIN_KEYS = ("model", "data", "design", "data.num_records", "lora.rank")
"""What variants are named after first; other settings only where these do not tell them apart."""


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
        label = ", ".join(
            f"{_short(key)}={'all' if value == 'None' else value}" for key, value in zip(keys, identity, strict=True)
        )
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
    settings = sorted({key for cell in cells for key in cell.settings})
    candidates = [*PLAIN_KEYS, *(key for key in settings if key not in PLAIN_KEYS)]
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
    return plain[key] if key in plain else cell.settings.get(key, "None")  # a key added later is null in old runs


def _natural(value: str) -> float:
    """Numbers by size, other texts after them in the order of the cells."""
    try:
        return float(value)
    except ValueError:
        return float("inf")


def _short(key: str) -> str:
    return key.rsplit(".", maxsplit=1)[-1] if key.startswith(("data.", "lora.")) else key


def _fits(cell: Cell, identity: tuple[str, ...], keys: Sequence[str]) -> bool:
    return all(_value(cell, k) in ("", "None", v) for k, v in zip(keys, identity, strict=True))


def _same_model(base: Cell, cell: Cell) -> bool:
    """Whether `cell` was tuned from `base`: same model settings and template, as far as known."""
    if base.model != cell.model:
        return False
    shared = [key for key in base.settings if key in cell.settings and key.startswith(("model.", "template"))]
    return all(base.settings[key] == cell.settings[key] for key in shared)
