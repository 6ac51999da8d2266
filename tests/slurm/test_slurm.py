"""hydra/launcher=slurm against a real one-node Slurm; run it with `make test-slurm`."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.launcher.small_study import listed_cells, logged_steps, sweep_command, write_study
from tests.slurm.one_node import missing_programs, one_node_slurm

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(bool(missing_programs()), reason=f"not installed: {missing_programs()}"),
    pytest.mark.skipif(os.geteuid() != 0, reason="slurmd is started as root"),
]

SLURM = ("hydra/launcher=slurm", "hydra.launcher.timeout_min=10", "hydra.launcher.signal_delay_s=5")
LONG = ("optim.epochs=100", "trainer.checkpoint_every_steps=5")
NUM_STEPS = 300
"""12 records of a category, 4 a step, 100 epochs."""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with one_node_slurm(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


@pytest.fixture
def study(tmp_path: Path, small_llama: Path) -> Path:
    return write_study(tmp_path, model=small_llama)


def start(study: Path, environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    command = sweep_command(*SLURM, *arguments)
    return subprocess.Popen(command, cwd=study, env=environment, text=True, stdout=subprocess.PIPE)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.2)


def only_run(study: Path) -> str:
    """The id of the one run there is, or nothing yet."""
    return next((path.name for path in (study / "outputs/train").glob("small-*")), "")


def has_checkpoint(study: Path) -> bool:
    return any((study / "outputs/train").glob("small-*/checkpoints/step-*"))


def job_ids(environment: dict[str, str]) -> list[str]:
    command = ["squeue", "--noheader", "--format=%i"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


def test_a_grid_runs_as_an_array_and_is_listed(study: Path, slurm: dict[str, str]) -> None:
    sweep = start(study, slurm, "category=qa,ie", "seed=0,1", "sweep_name=array")
    output, _ = sweep.communicate(timeout=300)
    assert sweep.returncode == 0, output
    assert {cell["state"] for cell in listed_cells(study, "array")} == {"done"}
    runs = [cell["run_id"] for cell in listed_cells(study, "array")]
    assert [list(logged_steps(study, run)) for run in runs] == [[0, 1, 2]] * 4
    again = start(study, slurm, "category=qa,ie", "seed=0,1", "sweep_name=array")
    output, _ = again.communicate(timeout=300)
    assert again.returncode == 0
    assert "queued" not in output


@pytest.mark.parametrize("interrupt", [["scancel", "--signal=USR2"], ["scontrol", "requeue"]])
def test_a_cell_that_is_preempted_continues_where_it_was(
    study: Path, slurm: dict[str, str], interrupt: list[str]
) -> None:
    sweep = start(study, slurm, "category=qa", *LONG, "sweep_name=preempted")
    wait_for(lambda: has_checkpoint(study))
    subprocess.run([*interrupt, *job_ids(slurm)], env=slurm, check=True)
    output, _ = sweep.communicate(timeout=400)
    assert sweep.returncode == 0, output
    run = only_run(study)
    assert list(logged_steps(study, run)) == list(range(NUM_STEPS))
    assert "resuming at step" in (study / "outputs/train" / run / "train.log").read_text()


def test_an_ended_sweep_cancels_its_tasks_and_the_same_command_continues(study: Path, slurm: dict[str, str]) -> None:
    sweep = start(study, slurm, "category=qa", *LONG, "sweep_name=ended")
    wait_for(lambda: has_checkpoint(study))
    sweep.terminate()
    sweep.communicate(timeout=120)
    assert sweep.returncode == 143
    assert [cell["state"] for cell in listed_cells(study, "ended")] == ["interrupted"]
    wait_for(lambda: not job_ids(slurm))
    again = start(study, slurm, "category=qa", *LONG, "sweep_name=ended")
    output, _ = again.communicate(timeout=400)
    assert again.returncode == 0, output
    assert list(logged_steps(study, only_run(study))) == list(range(NUM_STEPS))
