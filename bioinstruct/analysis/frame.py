"""Cells as one long table, for notebooks and the CSV file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bioinstruct.analysis.cells import Cell

if TYPE_CHECKING:
    import pandas as pd

Value = str | int | float | bool | None

COLUMNS = (
    "run_id", "state", "model", "data", "design", "category", "seed", "num_records", "num_tokens",
    "num_steps", "family", "task", "protocol", "protocol_hash", "split", "metric", "is_headline", "value",
    "low", "high", "n", "parse_failure_rate", "signature", "error",
)  # fmt: skip


def comparison_frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """One row per cell × task × protocol × metric with its 95 % interval; values as stored, 0 to 1."""
    import pandas as pd

    return pd.DataFrame(comparison_rows(cells), columns=list(COLUMNS))


def comparison_rows(cells: Sequence[Cell]) -> list[dict[str, Value]]:
    """The same as plain rows; a cell without scores keeps one row, so that it is not lost."""
    rows = []
    for cell in cells:
        start = _cell_columns(cell)
        scored: list[dict[str, Value]] = [
            start
            | {
                "family": score.family,
                "task": score.task,
                "protocol": score.protocol,
                "protocol_hash": score.protocol_hash,
                "split": score.split,
                "metric": name,
                "is_headline": name == score.headline,
                "value": estimate.value,
                "low": estimate.low,
                "high": estimate.high,
                "n": estimate.n,
                "parse_failure_rate": score.parse_failure_rate,
                "signature": estimate.signature,
            }
            for score in cell.scores
            for name, estimate in score.metrics.items()
        ]
        rows += scored or [start]
    return rows


def _cell_columns(cell: Cell) -> dict[str, Value]:
    size = cell.training
    return {
        "run_id": cell.run_id,
        "state": cell.state,
        "model": cell.model,
        "data": cell.data,
        "design": cell.design,
        "category": cell.category,
        "seed": cell.seed,
        "num_records": size.num_records if size else None,
        "num_tokens": size.num_tokens if size else None,
        "num_steps": size.num_steps if size else None,
        "error": cell.error,
    }
