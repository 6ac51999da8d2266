"""Progress of a generation: kept, rejected, cost and time left, a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bioinstruct.llm.budget import NANO

logger = logging.getLogger(__name__)

SECONDS_PER_LINE = 15.0


class GenerationProgress:
    """Shows how far a generation is; the time left is judged by what this process did."""

    def __init__(self, num_records: int) -> None:
        self.num_records = num_records
        self._console = Console(stderr=True)
        self._bar = Progress(
            BarColumn(),
            TextColumn("{task.completed}/{task.total} kept, {task.fields[rejected]} rejected"),
            TextColumn("{task.fields[dollars]:.4f} $ ·"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task("", total=num_records, rejected=0, dollars=0.0)
        self._began: tuple[float, int] | None = None
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, *, kept: int, rejected: int, spent: int) -> None:
        """Shows the state after one answer."""
        now = time.monotonic()
        self._began = self._began or (now, kept)
        self._bar.update(self._task, completed=kept, rejected=rejected, dollars=spent / NANO)
        if self._bar.disable and now - self._last_line >= SECONDS_PER_LINE:
            self._last_line = now
            logger.info(
                "%d/%d kept, %d rejected, %.4f dollars%s",
                kept,
                self.num_records,
                rejected,
                spent / NANO,
                self._time_left(now, kept),
            )

    def _time_left(self, now: float, kept: int) -> str:
        began, kept_before = self._began or (now, kept)
        if kept <= kept_before or kept >= self.num_records:
            return ""
        seconds = (self.num_records - kept) * (now - began) / (kept - kept_before)
        return f", about {seconds / 60:.1f} minutes left"
