from __future__ import annotations

from pathlib import Path

import pytest

from bioinstruct.config import TrainConfig, TrainerConfig
from bioinstruct.launcher.cells import Cell, CellPlan
from bioinstruct.launcher.jobs import Job
from bioinstruct.launcher.slurm import config_for_task, take_result

TRACE = """\
Job (task=0) failed during processing with trace:
----------------------
Traceback (most recent call last):
  File "slurm.py", line 1, in __call__
bioinstruct.launcher.slurm.CellFailedError: data.path=x is not there
----------------------
You can check full logs with 'job.stderr(0)' and 'job.stdout(0)'"""

NO_OUTPUT = "Job 7_0 (task: 0) with path result.pkl\nhas not produced any output (state: OUT_OF_MEMORY)"


class EndedTask:
    """A submitit job that has ended."""

    def __init__(self, error: str | None) -> None:
        self.error = error

    def exception(self) -> Exception | None:
        return None if self.error is None else RuntimeError(self.error)


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [
        (None, "done", None),
        (TRACE, "failed", "data.path=x is not there"),
        (NO_OUTPUT, "failed", "has not produced any output (state: OUT_OF_MEMORY)"),
    ],
)
def test_the_end_of_a_task_becomes_the_state_of_its_cell(error: str | None, state: str, message: str | None) -> None:
    plan = CellPlan("a", "new", num_tokens=1, num_steps=1, folder=Path("a"))
    job = Job(Cell("a", (), TrainConfig(), plan), "running")
    take_result(job, EndedTask(error))  # type: ignore[arg-type]
    assert (job.state, job.error) == (state, message)


def test_a_task_gets_the_gpus_or_the_threads_that_slurm_gives_it() -> None:
    config = TrainConfig(trainer=TrainerConfig())
    two_gpus = config_for_task(config, {"gpus_per_node": 2, "cpus_per_task": 8})
    assert (two_gpus.trainer.devices, two_gpus.trainer.threads) == (2, None)
    cpu = config_for_task(config, {"gpus_per_node": None, "cpus_per_task": 8})
    assert (cpu.trainer.devices, cpu.trainer.threads) == (1, 8)
    ranks = TrainConfig(trainer=TrainerConfig(devices=2))
    assert config_for_task(ranks, {"cpus_per_task": 8}).trainer.threads == 4
