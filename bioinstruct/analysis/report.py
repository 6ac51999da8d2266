"""Writes a comparison: Markdown, CSV, LaTeX, pictures and one HTML page, each file whole or not at all."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bioinstruct.analysis.cells import Cell
from bioinstruct.analysis.comparison import Comparison, VariantResult, analyse
from bioinstruct.runs import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)


def compare(cells: Sequence[Cell], *, output: Path, title: str) -> Comparison:
    """Analyses the cells and writes the report into `output`; open cells are shown as such.

    Writes comparison.{md,csv,tex,html}, heatmap.{png,svg}, effects.{png,svg} and scaling.{png,svg}, the
    pictures where there is something to show. Raises UserError if two runs scored a task under different
    protocols.
    """
    from bioinstruct.analysis.html import html_page
    from bioinstruct.analysis.rendering import latex, long_csv, markdown

    comparison = analyse(cells, title=title)
    pictures = _pictures(comparison)
    written = {name: _write_picture(output / name, figure) for name, _, figure in pictures}
    write_atomic(output / "comparison.csv", long_csv(comparison))
    write_atomic(output / "comparison.tex", latex(comparison))
    named = [(f"{name}.png", caption) for name, caption, _ in pictures]
    write_atomic(output / "comparison.md", markdown(comparison, figures=named))
    drawn = [(caption, written[name]) for name, caption, _ in pictures]
    write_atomic(output / "comparison.html", html_page(comparison, figures=drawn))
    log.info("comparison of %d cells written to %s", len(comparison.cells), output)
    return replace(comparison, report=str(output / "comparison.html"))


def _pictures(comparison: Comparison) -> list[tuple[str, str, Figure]]:
    """(file name without ending, caption, figure) of what there is to show."""
    from bioinstruct.analysis.figures import forest, heatmap, scaling
    from bioinstruct.analysis.tables import with_variant

    made: list[tuple[str, str, Figure | None]] = []
    for index, results in enumerate(_heatmap_groups(comparison.results)):
        name = f"heatmap_{index + 1}" if index else "heatmap"
        title = with_variant("Transfer", results[0]) if len(results) == 1 else "Transfer"
        caption = f"{title}: gain over the untuned base in points, tuned on (rows) × tested on (columns)"
        made.append((name, caption, heatmap(results)))
    made.append(("effects", "Effects of the categories in points with 95 % intervals", forest(comparison.results)))
    made.append(("scaling", "Scores by number of training records, 95 % intervals", scaling(comparison)))
    return [(name, caption, figure) for name, caption, figure in made if figure is not None]


def _heatmap_groups(results: Sequence[VariantResult]) -> list[list[VariantResult]]:
    """One picture per grid; variants of few categories (model size, LoRA rank, …) share one."""
    largest = max((len(result.variant.categories) for result in results), default=0)
    return [[result] for result in results] if largest > 4 else [list(results)] if results else []


def _write_picture(stem: Path, figure: Figure) -> bytes:
    """Writes PNG and SVG; returns the SVG."""
    from bioinstruct.analysis.figures import png_bytes, svg_bytes

    svg = svg_bytes(figure)
    write_atomic(stem.with_name(f"{stem.name}.png"), png_bytes(figure))
    write_atomic(stem.with_name(f"{stem.name}.svg"), svg)
    return svg
