"""Everything a report shows, computed once: per variant the scores, gains, effects and other protocols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bioinstruct.analysis.cells import Cell
from bioinstruct.analysis.effects import Effect, study_effects
from bioinstruct.analysis.estimates import Block, make_block
from bioinstruct.analysis.gains import Gain, family_gains, task_gains
from bioinstruct.analysis.outcomes import TaskKey, headline_keys, task_keys
from bioinstruct.analysis.variants import Variant, aligned, unique_cells, variants_of
from bioinstruct.errors import UserError


@dataclass(frozen=True)
class VariantResult:
    """The numbers of one variant of the grid."""

    variant: Variant
    block: Block
    """Headline protocol of every task."""
    family_gains: tuple[Gain, ...]
    task_gains: tuple[Gain, ...]
    effects: tuple[Effect, ...]
    other_blocks: tuple[Block, ...]
    """The remaining protocols, one block each."""
    other_gains: tuple[tuple[Gain, ...], ...]
    """Gains per task in `other_blocks`."""

    def family_gain(self, category: str, family: str) -> Gain | None:
        return next((g for g in self.family_gains if (g.category, g.family) == (category, family)), None)

    def task_gain(self, category: str, task: str) -> Gain | None:
        return next((g for g in self.task_gains if (g.category, g.task) == (category, task)), None)


@dataclass(frozen=True)
class Comparison:
    """A finished comparison, complete or not."""

    title: str
    cells: tuple[Cell, ...]
    keys: tuple[TaskKey, ...]
    results: tuple[VariantResult, ...]
    report: str = ""
    """Path of the HTML page, once written."""

    @property
    def open_cells(self) -> tuple[Cell, ...]:
        """Cells without results: failed, interrupted, waiting, running."""
        return tuple(cell for cell in self.cells if cell.state != "done")

    @property
    def has_seed_variance(self) -> bool:
        return any(result.block.seeds is not None for result in self.results)


def analyse(cells: Sequence[Cell], *, title: str) -> Comparison:
    """Computes a comparison. Raises UserError if there is no cell, or if protocols differ between runs."""
    if not cells:
        raise UserError("nothing to compare: no cell given; name a sweep folder or two runs")
    known = aligned(unique_cells(cells))
    keys = task_keys(cell for cell in known if cell.state == "done")
    return Comparison(
        title=title,
        cells=tuple(known),
        keys=tuple(keys),
        results=tuple(_analyse_variant(variant, keys) for variant in variants_of(known)),
    )


def _analyse_variant(variant: Variant, keys: Sequence[TaskKey]) -> VariantResult:
    headline = headline_keys(keys)
    block = make_block(variant, headline)
    others = [key for key in keys if key not in headline]
    protocols = dict.fromkeys(key.protocol for key in others)
    other_blocks = [make_block(variant, [key for key in others if key.protocol == name]) for name in protocols]
    return VariantResult(
        variant=variant,
        block=block,
        family_gains=tuple(family_gains(block)),
        task_gains=tuple(task_gains(block)),
        effects=tuple(study_effects(variant, block)),
        other_blocks=tuple(other_blocks),
        other_gains=tuple(tuple(task_gains(other)) for other in other_blocks),
    )
