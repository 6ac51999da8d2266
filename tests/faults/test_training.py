"""SIGKILL at random moments of a training run, then the same command: the adapter is bit-identical."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bioinstruct.config import save_config
from bioinstruct.pipeline import describe_cell, run_cell
from bioinstruct.runs import RunFolder
from tests.cells import small_cell, write_records

SECONDS_PER_RUN = 60
OVERRIDES = ("optim.epochs=12", "trainer.checkpoint_every_steps=1")
"""84 steps with a checkpoint after each, so that kills fall into checkpoint writes too."""


def kill_until_done(config_file: Path, folder: RunFolder, *, num_kills: int, seed: int) -> int:
    """Runs the cell in fresh processes, killing each of the first `num_kills` once its steps go on; returns the kills.

    The moment is counted from the first line of metrics.csv of that process, so that start-up time does not matter.
    """
    draw = random.Random(seed)
    command = [sys.executable, "-m", "bioinstruct.launcher.cell", str(config_file)]
    kills = 0
    for _ in range(num_kills):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        started = time.monotonic()
        before = folder.metrics_file.stat().st_mtime_ns if folder.metrics_file.is_file() else 0
        while process.poll() is None and time.monotonic() - started < SECONDS_PER_RUN:
            if folder.metrics_file.is_file() and folder.metrics_file.stat().st_mtime_ns > before:
                time.sleep(draw.uniform(0.0, 0.4))
                process.kill()
                break
            time.sleep(0.005)
        kills += process.wait() == -9
    subprocess.run(command, check=True, capture_output=True)
    return kills


def check_kills(small_llama: Path, folder: Path, *, num_kills: int, seed: int) -> int:
    """Holds a killed run to an undisturbed one: adapter and loss curve; returns how often it was killed."""
    records = write_records(folder)
    undisturbed = RunFolder(run_cell(small_cell(small_llama, records, folder / "whole", *OVERRIDES)))
    config = small_cell(small_llama, records, folder / "killed", *OVERRIDES)
    save_config(config, folder / "cell.yaml")
    killed = RunFolder(describe_cell(config).folder)
    kills = kill_until_done(folder / "cell.yaml", killed, num_kills=num_kills, seed=seed)
    name = "adapter_model.safetensors"
    assert (killed.adapter / name).read_bytes() == (undisturbed.adapter / name).read_bytes()
    losses = [[line.split(",")[:5] for line in f.metrics_file.read_text().splitlines()] for f in (killed, undisturbed)]
    assert losses[0] == losses[1]
    assert not list(killed.path.glob(".*"))
    assert not list(killed.checkpoints.glob(".*"))
    return kills


def test_a_killed_training_ends_bit_identical(small_llama: Path, tmp_path: Path) -> None:
    assert check_kills(small_llama, tmp_path, num_kills=2, seed=0) >= 1


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(4))
def test_twenty_random_kills_of_a_training(small_llama: Path, tmp_path: Path, seed: int) -> None:
    assert check_kills(small_llama, tmp_path, num_kills=5, seed=seed) >= 3
