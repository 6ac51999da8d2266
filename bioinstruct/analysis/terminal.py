"""The comparison in a terminal: scores with gains, transfer heat map in shades, where the report is."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

from bioinstruct.analysis.cells import Cell
from bioinstruct.analysis.comparison import Comparison, VariantResult
from bioinstruct.analysis.notes import status_line
from bioinstruct.analysis.numbers import DASH, points
from bioinstruct.analysis.tables import Table, family_name, last_line, missing_text, row_name, summary_table

SHADES = "░▒▓█"
BLOCK_WIDTH = 4


def terminal_summary(comparison: Comparison) -> str:
    """Scores and gains with intervals, the heat map as text, open cells, the report's path."""
    parts = [comparison.title, fill(status_line(comparison), width=100)]
    parts.append(_plain_table(summary_table(comparison, stacked=False)))
    parts.append(_heat_text(comparison.results))
    parts.append("\n".join(_open_line(cell) for cell in comparison.open_cells))
    if comparison.report:
        parts.append(f"Report: {comparison.report}")
    return "\n\n".join(part for part in parts if part)


def _open_line(cell: Cell) -> str:
    return f"{cell.state}: {cell.run_id}  {last_line(cell.error)}".rstrip()


def _plain_table(table: Table) -> str:
    rows = [table.header, *table.rows]
    lines = [[cell.split("\n") for cell in row] for row in rows]
    widths = [max(len(text) for row in lines for text in row[column]) for column in range(len(table.header))]
    text = [table.title, _plain_row(lines[0], widths), "─" * (sum(widths) + 2 * len(widths) - 2)]
    text += [_plain_row(row, widths) for row in lines[1:]]
    return "\n".join([*text, *(fill(note, width=100) for note in table.notes)])


def _plain_row(row: Sequence[Sequence[str]], widths: Sequence[int]) -> str:
    height = max(len(cell) for cell in row)
    lines = []
    for index in range(height):
        texts = [cell[index] if index < len(cell) else "" for cell in row]
        lines.append("  ".join(text.ljust(width) for text, width in zip(texts, widths, strict=True)).rstrip())
    return "\n".join(lines)


def _heat_text(results: Sequence[VariantResult]) -> str:
    """Tuned on × tested on: gain in points with a bar of shades, + better, − worse."""
    shown = [result for result in results if result.family_gains]
    if not shown:
        return ""
    families = list(shown[0].block.families())
    limit = max(*(abs(gain.difference.value) for result in shown for gain in result.family_gains), 0.01)
    rows = [("tuned on", *(f"tested on {family_name(family)}" for family in families))]
    for result in shown:
        for category, cells in result.variant.cells.items():
            if category != "none":
                gains = [result.family_gain(category, family) for family in families]
                texts = [_shaded(gain.difference.value, limit) if gain else missing_text(cells) for gain in gains]
                rows.append((row_name(result, category).replace("\n", "  "), *texts))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    scale = f"{SHADES[0]} small to {SHADES[-1]} {points(limit)}"
    return "\n".join([f"Transfer: gain over the untuned base in points, {scale}", *lines])


def _shaded(value: float, limit: float) -> str:
    shade = SHADES[min(int(abs(value) / limit * len(SHADES)), len(SHADES) - 1)]
    text = points(value, sign=True)
    return f"{shade * BLOCK_WIDTH} {text if text != DASH else ''}"
