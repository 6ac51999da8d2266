"""Hydra launchers of this project; installed as hydra_plugins.bioinstruct_launcher.

The classes stand here, and not beside the code they call: Hydra finds a launcher by the name of its module.
`bioinstruct.command.run_hydra` registers them, because Hydra's own discovery does not see a mapped package in
an editable installation.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from bioinstruct.command import user_errors

EXIT_INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""


@contextmanager
def quiet_interrupt() -> Iterator[None]:
    """Ends the program without a traceback on Ctrl-C while no cell runs."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


class GpuPoolLauncher(Launcher):
    """One fresh process per cell on leased GPUs or CPU slots."""

    def __init__(
        self,
        *,
        gpus_per_cell: int | None,
        slots: int | None,
        max_retries: int,
        on_error: str,
        grace_seconds: float,
    ) -> None:
        self.gpus_per_cell = gpus_per_cell
        self.slots = slots
        self.max_retries = max_retries
        self.on_error = on_error
        self.grace_seconds = grace_seconds

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from bioinstruct.launcher.gpu_pool import PoolOptions, run_sweep
        from bioinstruct.launcher.sweep import prepare_sweep, returns_of

        options = PoolOptions(
            gpus_per_cell=self.gpus_per_cell,
            slots=self.slots,
            max_retries=self.max_retries,
            on_error=self.on_error,
            grace_seconds=self.grace_seconds,
        )
        with user_errors(), quiet_interrupt():
            options.check()
            sweep = prepare_sweep(
                self.hydra_context,
                self.config,
                job_overrides,
                initial_job_idx=initial_job_idx,
                gpus_per_cell=self.gpus_per_cell,
                slots=self.slots,
                environment=os.environ,
            )
            run_sweep(sweep, options)
        return returns_of(job_overrides)


LAUNCHERS: tuple[type[Launcher], ...] = (GpuPoolLauncher,)
"""What `run_hydra` registers."""
