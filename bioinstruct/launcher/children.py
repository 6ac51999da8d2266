"""Child processes of a launcher: started apart, ended with their process group, asked what went wrong."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bioinstruct.launcher.lineage import PARENT_VARIABLE

ERROR_LINE = re.compile(r"(?:\[rank\d+\]: ?)?(?P<error>(?:error: |(?:\w+\.)*\w*(?:Error|Exception|Interrupt)\b).*)")
"""What an uncaught exception or a command's message begins with; ranks put their number before it."""
TAIL_BYTES = 64 * 1024


@dataclass(frozen=True)
class Child:
    """A running cell."""

    process: subprocess.Popen[bytes]
    log_file: Path
    log_start: int
    """Where this attempt begins in the log, bytes."""

    def returncode(self) -> int | None:
        """Exit code, negative for a signal, or None while the cell runs; ends what the cell left behind."""
        if self.process.returncode is None:
            if not self.has_ended():
                return None
            self.signal(signal.SIGKILL)  # before the process is reaped: its group id cannot be another's yet
            self.process.wait()
        return self.process.returncode

    def has_ended(self) -> bool:
        """Whether the process is over. Takes no lock of Popen's: a signal handler may ask while others wait."""
        try:
            return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # its exit code was taken already
            return True

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the cell's whole process group."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def error(self) -> str:
        """The last error line of this attempt's log, or its last line, or what the exit code says."""
        with self.log_file.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(self.log_start, end - TAIL_BYTES))
            text = file.read().decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        code = self.process.returncode
        if code is not None and code < 0:
            hint = " (out of memory?)" if code == -signal.SIGKILL else ""
            return f"ended by {signal.Signals(-code).name}{hint}"
        last_line = lines[-1] if lines else f"exit code {code}, and nothing in the log"
        return last_error_line(text) or last_line


def last_error_line(text: str) -> str | None:
    """The last line that begins as an uncaught exception or a command's error message does, or None."""
    for line in reversed(text.splitlines()):
        found = ERROR_LINE.match(line.strip())
        if found and "ChildFailedError" not in line:  # torchrun's own; the rank's error stands above it
            return found["error"].removeprefix("error: ")
    return None


def start_child(
    command: Sequence[str], *, environment: Mapping[str, str], log_file: Path, locks: Sequence[int]
) -> Child:
    """Starts a cell: output appended to its log, locks inherited, no terminal (Ctrl-C is the launcher's)."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    own = {PARENT_VARIABLE: str(os.getpid()), "PYTHONUNBUFFERED": "1"}
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment, **own},
            pass_fds=tuple(locks),
            start_new_session=True,
        )
        return Child(process, log_file=log_file, log_start=log.tell())


def end_children(children: Sequence[Child], *, grace_seconds: float, hurry: list[int]) -> None:
    """SIGTERM to all (they write a checkpoint), SIGKILL to those that are left after the grace time.

    `hurry` is the list of stop signals received so far; another one ends the waiting.
    """
    for child in children:
        if child.returncode() is None:
            os.kill(child.process.pid, signal.SIGTERM)
    received = len(hurry)
    deadline = time.monotonic() + grace_seconds
    while any(child.returncode() is None for child in children):
        if time.monotonic() > deadline or len(hurry) > received:
            for child in children:
                child.signal(signal.SIGKILL)
        time.sleep(0.05)
