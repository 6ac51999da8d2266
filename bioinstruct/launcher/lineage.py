"""Children that do not outlive their launcher, however it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PARENT_VARIABLE = "BIOINSTRUCT_PARENT_PID"
"""Process id of the launcher; set for its children, so that they end when it is gone."""

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""


def end_with_parent(parent: str | None, number: signal.Signals) -> None:
    """Asks the kernel for a signal when the parent process dies; ends at once if it is dead already."""
    if parent is None:
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(f"error: the launcher (process {parent}) is gone; run the sweep again, it continues")
