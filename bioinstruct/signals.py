"""Leaving cleanly: SIGTERM, SIGUSR1 and SIGUSR2 ask a training run to write a checkpoint and go."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""SIGTERM: kill and schedulers; SIGUSR1, SIGUSR2: Slurm's and submitit's warning before pre-emption."""

EXIT_INTERRUPTED = 143
"""128 + SIGTERM, as a shell reports it; the same command goes on."""


class StopSignals:
    """Notes the stop signals between `arm` and `disarm`; outside, they end the process as usual."""

    def __init__(self, on_stop: Callable[[], None] | None = None) -> None:
        self._received = False
        self._on_stop = on_stop
        self._before: dict[signal.Signals, object] = {}

    def arm(self) -> None:
        """Takes over the handlers; call it after Lightning has set its own, which would end the run mid-step."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in STOP_SIGNALS}

    def disarm(self) -> None:
        """Puts the earlier handlers back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before = {}

    def received(self) -> bool:
        """Whether one of the signals came."""
        return self._received

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._received = True
        if self._on_stop is not None:
            self._on_stop()
