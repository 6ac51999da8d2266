"""What a running sweep shows: a live table on a terminal, one line per event elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from bioinstruct.launcher.jobs import Job, State

ORDER: tuple[State, ...] = ("running", "failed", "interrupted", "waiting", "done")
STYLES: dict[State, str] = {
    "running": "cyan",
    "failed": "red",
    "interrupted": "yellow",
    "waiting": "dim",
    "done": "green",
}
ROWS_BESIDE_CELLS = 8
"""Lines of a terminal kept for the table's frame, title and the prompt."""


class View(Protocol):
    """What the pool tells about its jobs."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def event(self, text: str) -> None:
        """Something happened, once."""

    def update(self, jobs: Sequence[Job]) -> None:
        """The jobs as they stand now; called several times a second."""


class PlainView:
    """One line per event, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def event(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def update(self, jobs: Sequence[Job]) -> None:
        return None


class LiveView:
    """A table that follows the sweep; events scroll above it."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = Live(console=console, auto_refresh=False, transient=False)
        self.shown = 0.0

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()

    def event(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)
        self.shown = 0.0

    def update(self, jobs: Sequence[Job]) -> None:
        now = time.monotonic()
        if now - self.shown >= 1:
            self.shown = now
            max_rows = max(self.console.height - ROWS_BESIDE_CELLS, 3)
            self.live.update(sweep_table(jobs, now=now, max_rows=max_rows), refresh=True)


def make_view(console: Console) -> View:
    """A live table if the console is a terminal, else plain lines."""
    return LiveView(console) if console.is_terminal else PlainView(console)


def sweep_table(jobs: Sequence[Job], *, now: float, max_rows: int) -> Table:
    """The jobs as a table, running ones first, with a count of those that do not fit."""
    counts = {state: sum(job.state == state for job in jobs) for state in ORDER}
    title = " · ".join(f"{count} {state}" for state, count in counts.items() if count)
    table = Table(title=f"{len(jobs)} cells: {title}", title_justify="left")
    table.add_column("cell", no_wrap=True)
    table.add_column("state")
    table.add_column("on")
    for column in ("step", "loss", "time left", "running for"):
        table.add_column(column, justify="right")
    ordered = sorted(jobs, key=lambda job: ORDER.index(job.state))
    shown = ordered if len(ordered) <= max_rows else ordered[: max_rows - 1]
    for job in shown:
        table.add_row(*_row(job, now=now), style=STYLES[job.state])
    if len(shown) < len(ordered):
        table.add_row(f"… and {len(ordered) - len(shown)} more")
    return table


def _row(job: Job, *, now: float) -> list[str]:
    if job.child is None or job.lease is None:
        state = "running elsewhere" if job.is_elsewhere else job.state
        return [job.cell.label, state, "", "", "", "", ""]
    progress, num_steps = job.progress, job.cell.plan.num_steps
    left = progress.seconds_left(num_steps)
    is_trained = progress.steps_done >= num_steps or job.cell.plan.state == "trained"
    doing = "evaluating" if is_trained else "training"
    return [
        job.cell.label,
        doing if job.attempts == 1 else f"{doing} (attempt {job.attempts})",
        ", ".join(job.lease.devices),
        f"{progress.steps_done}/{num_steps}" if progress.steps_done else "",
        "" if progress.loss is None else f"{progress.loss:.4f}",
        "" if left is None else duration(left),
        duration(now - job.started),
    ]


def duration(seconds: float) -> str:
    """45 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
