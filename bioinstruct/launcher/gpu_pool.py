"""The gpu_pool launcher's job: run a prepared sweep to its end and compare its cells, complete or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import MISSING
from rich.console import Console

from bioinstruct.config.checks import in_range, one_of
from bioinstruct.errors import PrerequisiteError, UserError
from bioinstruct.launcher.cell import cell_command
from bioinstruct.launcher.jobs import Job, SweepFolder, jobs_of
from bioinstruct.launcher.pool import Pool
from bioinstruct.launcher.sweep import Sweep
from bioinstruct.launcher.view import make_view

ON_ERROR = ("continue", "stop")


@dataclass
class PoolOptions:
    """hydra.launcher of gpu_pool; what each key does stands in conf/hydra/launcher/gpu_pool.yaml."""

    gpus_per_cell: int | None = None
    slots: int | None = None
    max_retries: int = MISSING
    on_error: str = MISSING
    grace_seconds: float = MISSING

    def check(self) -> None:
        """Raises UserError for a value out of range."""
        one_of("hydra.launcher.on_error", self.on_error, ON_ERROR)
        in_range("hydra.launcher.max_retries", self.max_retries, low=0)
        in_range("hydra.launcher.gpus_per_cell", self.gpus_per_cell, low=1)
        in_range("hydra.launcher.slots", self.slots, low=1)
        in_range("hydra.launcher.grace_seconds", self.grace_seconds, above=0)


def run_sweep(sweep: Sweep, options: PoolOptions) -> None:
    """Runs all cells and compares them in any case. Raises SystemExit if not every cell is done."""
    console = Console()
    folder = SweepFolder(sweep.folder)
    folder.write_configs(sweep.cells)
    jobs = jobs_of(sweep.cells)
    pool = Pool(
        jobs=jobs,
        devices=sweep.devices,
        folder=folder,
        view=make_view(console),
        command=cell_command,
        max_retries=options.max_retries,
        stop_on_error=options.on_error == "stop",
        grace_seconds=options.grace_seconds,
    )
    announce(console, sweep, jobs)
    try:
        pool.run()
    finally:
        report(console, jobs, folder=folder, runs_root=sweep.runs_root)
    exit_unless_done(jobs, stops=pool.stops)


def report(console: Console, jobs: Sequence[Job], *, folder: SweepFolder, runs_root: Path) -> None:
    """Compares the cells, and lists those that are not done."""
    try:
        print_comparison(console, folder.path, runs_root=runs_root)
    finally:
        print_failures(console, jobs)


def exit_unless_done(jobs: Sequence[Job], *, stops: Sequence[int]) -> None:
    """Raises SystemExit after a stop signal, or if a cell is not done."""
    if stops:
        raise SystemExit(128 + stops[0])
    if any(job.state != "done" for job in jobs):
        raise SystemExit(1)


def announce(console: Console, sweep: Sweep, jobs: Sequence[Job]) -> None:
    """One line: how many cells there are, how many are left, and what they run on."""
    num_done = sum(job.state == "done" for job in jobs)
    kind = "GPUs" if sweep.devices.is_gpu else "CPU slots"
    left = f"cells: {len(jobs)}, of them done already: {num_done}"
    plain(console, f"sweep {sweep.folder.name}; {left}; {kind}: {len(sweep.devices.names)}")


def print_comparison(console: Console, folder: Path, *, runs_root: Path) -> None:
    """Writes the comparison of all cells into the sweep folder and prints its summary."""
    from bioinstruct.analysis import compare, load_sweep, terminal_summary

    try:
        cells = load_sweep(folder, runs_root)
        comparison = compare(cells, output=folder, title=folder.name)
    except (UserError, PrerequisiteError) as error:
        plain(console, f"no comparison: {error}")
    else:
        plain(console, terminal_summary(comparison))


def print_failures(console: Console, jobs: Sequence[Job]) -> None:
    """Lists every cell that is not done: why, and where its log is."""
    for job in jobs:
        if job.state != "done":
            log = f" (log: {job.log_file})" if job.log_file else ""
            plain(console, f"{job.state}: {job.cell.label}{': ' + job.error if job.error else ''}{log}")
    if any(job.state != "done" for job in jobs):
        plain(console, "The same command continues where this sweep stopped.")


def plain(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
