"""A cell on its way through a launcher, its progress as its run folder tells it, and the sweep's listing."""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bioinstruct.config import save_config
from bioinstruct.launcher.cells import Cell
from bioinstruct.launcher.children import Child
from bioinstruct.launcher.devices import Lease
from bioinstruct.runs import RunFolder, write_json

State = Literal["done", "failed", "interrupted", "waiting", "running"]

TAIL_BYTES = 8192


@dataclass
class Progress:
    """How far a running cell is, and its speed since this launcher first saw it move."""

    steps_done: int = 0
    loss: float | None = None
    seconds_per_step: float | None = None
    read_at: float = 0.0
    _first: tuple[int, float] | None = field(default=None, repr=False)

    def read(self, metrics_file: Path, *, now: float) -> None:
        """Takes the newest step and loss from a metrics.csv that is being written."""
        self.read_at = now
        newest = newest_metrics(metrics_file)
        if newest is None:
            return
        step, self.loss = newest
        self.steps_done = step + 1  # steps are counted from 0
        if self._first is None:
            self._first = (self.steps_done, now)
        elif self.steps_done > self._first[0]:
            self.seconds_per_step = (now - self._first[1]) / (self.steps_done - self._first[0])

    def seconds_left(self, num_steps: int) -> float | None:
        """Time to the last training step at the speed seen so far, or None while it is unknown."""
        return None if self.seconds_per_step is None else (num_steps - self.steps_done) * self.seconds_per_step


def newest_metrics(metrics_file: Path) -> tuple[int, float] | None:
    """Step and loss of the last complete row that has both; None if there is none (yet)."""
    if not metrics_file.is_file():
        return None
    with metrics_file.open("rb") as file:
        header = file.readline().decode()
        start = file.tell()
        end = file.seek(0, 2)
        file.seek(max(start, end - TAIL_BYTES))
        tail = file.read().decode(errors="replace")
    lines = tail[: tail.rfind("\n") + 1].splitlines()
    rows = csv.DictReader(lines, fieldnames=next(csv.reader([header]), []))
    for row in reversed(list(rows)):
        if row.get("step") and row.get("loss"):
            try:
                return int(row["step"]), float(row["loss"])
            except ValueError:
                continue  # the first line of the tail may begin in the middle of a row
    return None


@dataclass
class Job:
    """A cell with its state in this launcher; `child`, `lease` and `lock` are set while it runs here."""

    cell: Cell
    state: State
    attempts: int = 0
    is_elsewhere: bool = False
    """Another launcher holds the cell's lock."""
    error: str | None = None
    log_file: Path | None = None
    child: Child | None = None
    lease: Lease | None = None
    lock: int | None = None
    started: float = 0.0
    progress: Progress = field(default_factory=Progress)

    def read_progress(self) -> None:
        self.progress.read(RunFolder(self.cell.plan.folder).metrics_file, now=time.monotonic())


@dataclass(frozen=True)
class SweepFolder:
    """outputs/sweeps/<sweep_name>: cells.json, cells/<run_id>.yaml, logs/<label>.log."""

    path: Path

    def config_file(self, cell: Cell) -> Path:
        """Named by run id: another grid in the same folder must not replace the file of a waiting cell."""
        return self.path / "cells" / f"{cell.run_id}.yaml"

    def log_file(self, cell: Cell) -> Path:
        return self.path / "logs" / f"{cell.label}.log"

    def write_configs(self, cells: Sequence[Cell]) -> None:
        for cell in cells:
            save_config(cell.config, self.config_file(cell))

    def write_listing(self, jobs: Sequence[Job]) -> None:
        """Replaces cells.json, atomically."""
        entries = [
            {
                "run_id": job.cell.run_id,
                "overrides": list(job.cell.overrides),
                "label": job.cell.label,
                "state": job.state,
                "error": job.error,
                "config": str(self.config_file(job.cell).relative_to(self.path)),
            }
            for job in jobs
        ]
        write_json(self.path / "cells.json", {"sweep_name": self.path.name, "cells": entries})


def jobs_of(cells: Sequence[Cell]) -> list[Job]:
    """One job per cell: finished cells are done, all others wait."""
    return [Job(cell, state="done" if cell.is_done else "waiting") for cell in cells]


def longest_first(jobs: Sequence[Job]) -> list[Job]:
    """Jobs in the order of their start: the most predicted tokens first, equal ones as composed."""
    return sorted(jobs, key=lambda job: -job.cell.plan.num_tokens)
