"""metrics.csv: one line per optimizer step, appended as it happens, cut back when a run resumes."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from bioinstruct.runs import write_atomic

FIXED_COLUMNS = (
    "step",
    "epoch",
    "loss",
    "lr",
    "grad_norm",
    "tokens_per_second",
    "response_tokens_per_second",
    "step_seconds",
    "num_tokens",
    "validation_loss",
)


def curve_columns(categories: Sequence[str]) -> list[str]:
    """The columns of metrics.csv: losses in nats per response token, lengths in tokens, times in seconds."""
    per_category = [f"{prefix}_{name}" for prefix in ("loss", "validation_loss") for name in categories]
    return [*FIXED_COLUMNS, *per_category]


def start_curve(path: Path, columns: Sequence[str], *, next_step: int) -> None:
    """Keeps the lines before `next_step` of an earlier curve and drops the rest; writes the header if new."""
    kept: list[dict[str, str]] = []
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            kept = [row for row in csv.DictReader(file) if row["step"].isdigit() and int(row["step"]) < next_step]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(kept)
    write_atomic(path, text.getvalue())


def append_curve(path: Path, columns: Sequence[str], row: Mapping[str, float]) -> None:
    """Appends one line; columns without a value stay empty."""
    with path.open("a", newline="", encoding="utf-8") as file:
        csv.DictWriter(file, columns, lineterminator="\n").writerow({k: f"{v:.8g}" for k, v in row.items()})
