"""The slurm launcher's job: one array task per cell, waited for, compared at the end.

A task runs its cell's file in a fresh process, as gpu_pool does: no Hydra and no Lightning environment in it. When
Slurm pre-empts the task or its time runs out, the cell writes a checkpoint and the task is queued again.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rich.console import Console

from bioinstruct.config import TrainConfig
from bioinstruct.errors import PrerequisiteError
from bioinstruct.launcher.cell import cell_command
from bioinstruct.launcher.children import Child, last_error_line, start_child
from bioinstruct.launcher.devices import Devices
from bioinstruct.launcher.gpu_pool import exit_unless_done, report
from bioinstruct.launcher.jobs import Job, SweepFolder, jobs_of
from bioinstruct.launcher.pool import stop_signals
from bioinstruct.launcher.sweep import Multirun, placed_config, plan_cells
from bioinstruct.launcher.view import View, make_view
from bioinstruct.signals import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from submitit import AutoExecutor
    from submitit.core.core import Job as SlurmJob
    from submitit.helpers import DelayedSubmission

PAUSE_SECONDS = 2.0
KILL_WAIT_SECONDS = 120
"""A cell that a signal ended waits this long for Slurm to end or requeue its task before it counts as failed."""

EXECUTOR_KEYS = ("submitit_folder", "max_num_timeout")
COMMON_KEYS = ("timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes", "name")
"""Options that submitit knows for every kind of cluster; the others are Slurm's own."""

Options = Mapping[str, object]


class CellFailedError(RuntimeError):
    """A cell ended with an error; the message is its last error line."""


class CellTask:
    """What a Slurm task runs; submitit calls `checkpoint` when the task is pre-empted or its time runs out."""

    def __init__(self) -> None:
        self.child: Child | None = None

    def __call__(self, config_file: str, log_file: str) -> None:
        """Runs the cell to its end. Raises CellFailedError if it fails."""
        self.child = start_child(
            cell_command(Path(config_file)),
            environment={},
            log_file=Path(log_file),
            locks=(),
        )
        while (code := self.child.returncode()) is None:
            time.sleep(PAUSE_SECONDS)
        if code == EXIT_INTERRUPTED or code in (-signal.SIGTERM, -signal.SIGUSR1, -signal.SIGUSR2):
            time.sleep(KILL_WAIT_SECONDS)
        if code != 0:
            raise CellFailedError(self.child.error())

    def checkpoint(self, config_file: str, log_file: str) -> DelayedSubmission:
        """Ends the cell, which writes its checkpoint, and returns the same task for the queue."""
        from submitit.helpers import DelayedSubmission

        if self.child is not None and not self.child.has_ended():
            os.kill(self.child.process.pid, signal.SIGTERM)
            while not self.child.has_ended():
                time.sleep(PAUSE_SECONDS / 10)
        return DelayedSubmission(CellTask(), config_file, log_file)


def run_on_slurm(multirun: Multirun, options: Options) -> None:
    """Queues all open cells, waits, and compares. Raises SystemExit if not every cell is done."""
    executor = make_executor(options)
    console = Console()
    drafts = [replace(draft, config=config_for_task(draft.config, options)) for draft in multirun.drafts]
    cells = plan_cells(drafts)
    folder = SweepFolder(multirun.folder)
    folder.write_configs(cells)
    jobs = jobs_of(cells)
    stops: list[int] = []
    try:
        with make_view(console) as view, stop_signals(stops):
            queued = queue_jobs([job for job in jobs if job.state != "done"], folder, executor)
            for job, slurm_job in queued:
                view.event(f"{job.cell.label}: queued as {slurm_job.job_id}")
            wait_for_jobs(jobs, queued, folder=folder, view=view, stops=stops)
    finally:
        report(console, jobs, folder=folder, runs_root=multirun.runs_root)
    exit_unless_done(jobs, stops=stops)


def config_for_task(config: TrainConfig, options: Options) -> TrainConfig:
    """A cell's config with the devices and threads that its task gets."""
    gpus = cast(int | None, options.get("gpus_per_node"))
    cores = cast(int | None, options.get("cpus_per_task")) or 1
    if gpus:
        names = tuple(str(index) for index in range(gpus))
        return placed_config(config, devices=Devices(names, is_gpu=True, threads=cores), gpus_per_cell=gpus)
    names = tuple(f"cpu{index}" for index in range(config.trainer.devices))
    threads = max(1, cores // config.trainer.devices)
    return placed_config(config, devices=Devices(names, is_gpu=False, threads=threads), gpus_per_cell=None)


def make_executor(options: Options) -> AutoExecutor:
    """submitit's executor with the options of hydra.launcher. Raises PrerequisiteError without submitit or Slurm."""
    try:
        from submitit import AutoExecutor
    except ImportError as error:
        raise PrerequisiteError("hydra/launcher=slurm needs submitit; pip install 'bioinstruct[slurm]'") from error
    try:
        subprocess.run(["sinfo"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PrerequisiteError(f"Slurm does not answer (sinfo: {error}); log in where sbatch works") from error
    executor = AutoExecutor(
        folder=str(options["submitit_folder"]),
        cluster="slurm",
        slurm_max_num_timeout=options["max_num_timeout"],
    )
    given = {key: value for key, value in options.items() if key not in EXECUTOR_KEYS}
    executor.update_parameters(**{key if key in COMMON_KEYS else f"slurm_{key}": value for key, value in given.items()})
    return executor


def queue_jobs(jobs: Sequence[Job], folder: SweepFolder, executor: AutoExecutor) -> list[tuple[Job, SlurmJob[None]]]:
    """Submits one array with a task per job."""
    if not jobs:
        return []
    logging.getLogger("submitit").setLevel(logging.ERROR)
    for job in jobs:
        job.log_file = folder.log_file(job.cell)
    configs = [str(folder.config_file(job.cell)) for job in jobs]
    logs = [str(job.log_file) for job in jobs]
    return list(zip(jobs, executor.map_array(CellTask(), configs, logs), strict=True))


def wait_for_jobs(
    jobs: Sequence[Job],
    queued: Sequence[tuple[Job, SlurmJob[None]]],
    *,
    folder: SweepFolder,
    view: View,
    stops: Sequence[int],
) -> None:
    """Follows the tasks until all have ended; a stop signal cancels them (the same command continues)."""
    folder.write_listing(jobs)
    open_jobs = list(queued)
    while open_jobs and not stops:
        for job, slurm_job in list(open_jobs):
            if slurm_job.done():
                open_jobs.remove((job, slurm_job))
                take_result(job, slurm_job)
                view.event(f"{job.cell.label}: {job.state}{': ' + job.error if job.error else ''}")
            elif job.state == "waiting" and slurm_job.state == "RUNNING":
                job.state = "running"
        folder.write_listing(jobs)
        view.update(jobs)
        time.sleep(PAUSE_SECONDS)
    for job, slurm_job in open_jobs:
        slurm_job.cancel()
        job.state, job.error = "interrupted", "cancelled with the sweep; the same command continues it"
    folder.write_listing(jobs)


def take_result(job: Job, slurm_job: SlurmJob[None]) -> None:
    """Notes how a task ended."""
    error = slurm_job.exception()
    if error is None:
        job.state, job.error = "done", None
        return
    text = last_error_line(str(error)) or str(error).splitlines()[-1]
    job.state, job.error = "failed", text.removeprefix(f"{CellFailedError.__module__}.CellFailedError: ")
