"""Hydra launchers of this project; installed as hydra_plugins.bioinstruct_launcher.

The classes stand here, and not beside the code they call: Hydra finds a launcher by the name of its module.
`bioinstruct.command.run_hydra` registers them, because Hydra's own discovery does not see a mapped package in
an editable installation.
"""

from __future__ import annotations

import os
import sys
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from bioinstruct.command import user_errors
from bioinstruct.config import typed_config

if TYPE_CHECKING:
    from bioinstruct.launcher.sweep import Multirun

EXIT_INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""


@contextmanager
def quiet_interrupt() -> Iterator[None]:
    """Ends the program without a traceback on Ctrl-C while no cell runs."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def show_plan(multirun: Multirun, given: dict[str, object]) -> None:
    """Prints the plan of a multirun; `given` are options of the plan launcher."""
    from bioinstruct.launcher.plan import PlanOptions, print_plan
    from bioinstruct.launcher.sweep import plan_cells

    options = typed_config(OmegaConf.create(given), PlanOptions)
    options.check()
    cells = plan_cells(multirun.drafts)
    print_plan(multirun.folder.name, cells, options, runs_root=multirun.runs_root)


class ProjectLauncher(Launcher):
    """What all launchers keep of a multirun: Hydra's context, the master config, the options as given."""

    def __init__(self, **options: object) -> None:
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Composes all jobs and runs or shows them. Raises SystemExit if not every cell is done."""
        from bioinstruct.launcher.sweep import compose_multirun

        with user_errors(), quiet_interrupt():
            multirun = compose_multirun(
                self.hydra_context,
                self.config,
                job_overrides=job_overrides,
                initial_job_idx=initial_job_idx,
            )
            if any(draft.config.dry_run for draft in multirun.drafts):
                show_plan(multirun, {"num_gpus": [1]})
            else:
                self.run(multirun)
        return [JobReturn(overrides=list(each), status=JobStatus.COMPLETED) for each in job_overrides]

    @abstractmethod
    def run(self, multirun: Multirun) -> None:
        """Does the launcher's work."""


class GpuPoolLauncher(ProjectLauncher):
    """One fresh process per cell on leased GPUs or CPU slots."""

    def run(self, multirun: Multirun) -> None:
        from bioinstruct.launcher.gpu_pool import PoolOptions, run_sweep
        from bioinstruct.launcher.sweep import place_sweep

        options = typed_config(OmegaConf.create(self.options), PoolOptions)
        options.check()
        sweep = place_sweep(multirun, gpus_per_cell=options.gpus_per_cell, slots=options.slots, environment=os.environ)
        run_sweep(sweep, options)


class PlanLauncher(ProjectLauncher):
    """Shows the cells, their state and what they will cost; starts nothing."""

    def run(self, multirun: Multirun) -> None:
        show_plan(multirun, self.options)


class SlurmLauncher(ProjectLauncher):
    """One Slurm array task per cell."""

    def run(self, multirun: Multirun) -> None:
        from bioinstruct.launcher.slurm import run_on_slurm

        options = cast(dict[str, object], OmegaConf.to_container(OmegaConf.create(self.options), resolve=True))
        run_on_slurm(multirun, options)


LAUNCHERS: tuple[type[Launcher], ...] = (GpuPoolLauncher, PlanLauncher, SlurmLauncher)
"""What `run_hydra` registers."""
