"""Who runs a cell or holds a GPU: flock on files, released by the kernel however the last holder ends.

The handle is passed on to the child process: while a child of a killed launcher still writes its checkpoint,
the lock is held, and no second launcher starts the same cell.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def try_lock(path: Path) -> int | None:
    """A handle on the locked file, or None while another process holds it. Release it with os.close."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def is_locked(path: Path) -> bool:
    """Whether another process holds the file's lock now."""
    handle = try_lock(path)
    if handle is not None:
        os.close(handle)
    return handle is None


def run_lock(run_folder: Path) -> Path:
    """A launcher's lock on a run: beside the run folders, so that redoing a run does not delete it."""
    return run_folder.parent / ".locks" / f"{run_folder.name}.lock"


def work_lock(run_folder: Path) -> Path:
    """The lock of the process that works on a run, whoever started it: `bioinstruct.runs.lock_run`."""
    return run_folder.parent / ".locks" / f"{run_folder.name}.work"
