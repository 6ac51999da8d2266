"""The pool: starts cells on free devices, longest first, watches them, tries again, and ends them cleanly."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from bioinstruct.command import EXIT_USER_ERROR
from bioinstruct.launcher.children import end_children, start_child
from bioinstruct.launcher.devices import Devices
from bioinstruct.launcher.jobs import Job, SweepFolder, longest_first
from bioinstruct.launcher.locks import is_locked, run_lock, try_lock, work_lock
from bioinstruct.launcher.view import View, duration

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PAUSE_SECONDS = 0.1
PROGRESS_SECONDS = 1.0
ELSEWHERE_SECONDS = 2.0
"""How often a cell that another launcher runs is looked at again."""

CommandOf = Callable[[Path], list[str]]
"""From a cell's config file to the command that runs it."""


@dataclass
class Pool:
    """Runs the waiting jobs of a sweep on the devices of this node."""

    jobs: Sequence[Job]
    devices: Devices
    folder: SweepFolder
    view: View
    command: CommandOf
    max_retries: int
    stop_on_error: bool
    grace_seconds: float
    """Time between SIGTERM and SIGKILL for cells that are ended."""
    stops: list[int] = field(default_factory=list)
    """Stop signals received."""

    def run(self) -> None:
        """Returns when every job is done or failed, or after a stop signal when all children have ended."""
        self.folder.write_listing(self.jobs)
        with self.view, stop_signals(self.stops):
            try:
                while self._unfinished() and not self._must_stop():
                    self._start_ready()
                    self._watch()
                    self.view.update(self.jobs)
                    time.sleep(PAUSE_SECONDS)
            finally:
                self._end_running()
                self.folder.write_listing(self.jobs)
                self.view.update(self.jobs)

    def _unfinished(self) -> bool:
        return any(job.state in ("waiting", "running") for job in self.jobs)

    def _must_stop(self) -> bool:
        return bool(self.stops) or (self.stop_on_error and any(job.state == "failed" for job in self.jobs))

    def _start_ready(self) -> None:
        """Starts waiting jobs while devices are free; nobody overtakes a job that waits for several."""
        now = time.monotonic()
        for job in longest_first([job for job in self.jobs if job.state == "waiting" or job.is_elsewhere]):
            if job.is_elsewhere and now - job.started < ELSEWHERE_SECONDS:
                continue
            lease = self.devices.lease(job.cell.config.trainer.devices)
            if lease is None:
                return
            lock = lock_of(job)
            if lock is None:
                self.devices.give_back(lease)
                self._mark_elsewhere(job, now=now)
                continue
            job.lock, job.lease = lock, lease
            self._start(job)

    def _mark_elsewhere(self, job: Job, *, now: float) -> None:
        job.started = now
        if not job.is_elsewhere:
            job.is_elsewhere, job.state = True, "running"
            self._tell(job, "runs elsewhere; waiting for it")

    def _start(self, job: Job) -> None:
        assert job.lease is not None
        assert job.lock is not None
        job.state, job.is_elsewhere, job.error = "running", False, None
        job.attempts += 1
        job.started = time.monotonic()
        job.log_file = self.folder.log_file(job.cell)
        job.child = start_child(
            self.command(self.folder.config_file(job.cell)),
            environment=job.lease.environment,
            log_file=job.log_file,
            locks=(job.lock, *job.lease.locks),
        )
        again = f" (attempt {job.attempts})" if job.attempts > 1 else ""
        self._tell(job, f"started on {', '.join(job.lease.devices)}{again}")

    def _watch(self) -> None:
        """Takes in what the running children did since the last look."""
        for job in self.jobs:
            if job.child is None:
                continue
            code = job.child.returncode()
            if code is not None:
                self._finish(job, code)
            elif time.monotonic() - job.progress.read_at >= PROGRESS_SECONDS:
                job.read_progress()

    def _finish(self, job: Job, code: int) -> None:
        assert job.child is not None
        error = None if code == 0 else job.child.error()
        took = duration(time.monotonic() - job.started)
        self._release(job)
        if error is None:
            job.state = "done"
            self._tell(job, f"done in {took}")
            return
        job.error = error
        if code != EXIT_USER_ERROR and job.attempts <= self.max_retries:
            job.state = "waiting"
            self._tell(job, f"failed after {took}: {error}; it is tried again")
        else:
            job.state = "failed"
            self._tell(job, f"failed after {took}: {error}")

    def _release(self, job: Job) -> None:
        assert job.lease is not None
        assert job.lock is not None
        self.devices.give_back(job.lease)
        os.close(job.lock)
        job.child = job.lease = job.lock = None

    def _end_running(self) -> None:
        """Ends the children that are left; the same command continues their cells."""
        running = [job for job in self.jobs if job.child is not None]
        if running:
            self.view.event(
                f"ending running cells ({len(running)}); they write a checkpoint, within "
                f"{duration(self.grace_seconds)}; Ctrl-C again ends them at once"
            )
        children = [job.child for job in running if job.child is not None]
        end_children(children, grace_seconds=self.grace_seconds, hurry=self.stops)
        for job in running:
            done = job.child is not None and job.child.returncode() == 0
            self._release(job)
            job.state = "done" if done else "interrupted"
            job.error = None if done else "ended with the sweep; the same command continues it"

    def _tell(self, job: Job, what: str) -> None:
        self.folder.write_listing(self.jobs)
        finished = sum(other.state in ("done", "failed") for other in self.jobs)
        self.view.event(f"[{finished}/{len(self.jobs)}] {job.cell.label}: {what}")


def lock_of(job: Job) -> int | None:
    """The launcher's lock on a job's run, or None while another launcher or a single run works on it."""
    folder = job.cell.plan.folder
    lock = try_lock(run_lock(folder))
    if lock is not None and is_locked(work_lock(folder)):
        os.close(lock)
        return None
    return lock


@contextmanager
def stop_signals(received: list[int]) -> Iterator[None]:
    """Collects SIGINT, SIGTERM and SIGHUP in `received`; signals that are ignored stay ignored."""

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    caught = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in caught:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in caught.items():
            signal.signal(number, handler)
