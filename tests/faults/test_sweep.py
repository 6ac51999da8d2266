"""A grid of 8 cells x 3 seeds on 2 CPU slots while cells, launchers and both are killed at random."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bioinstruct.launcher.locks import is_locked, run_lock
from tests.launcher import launcher_fakes
from tests.launcher.launcher_fakes import lines_of, states

NUM_CELLS = 24
NUM_STEPS = 5
NUM_KILLS = 25

Strike = Callable[[subprocess.Popen[bytes], random.Random], None]


def launcher(root: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, launcher_fakes.__file__, "launcher", str(root), str(NUM_CELLS), "2"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def children_of(process: subprocess.Popen[bytes]) -> list[int]:
    """Process ids of the cells that a launcher runs now."""
    try:
        text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    except FileNotFoundError:
        return []
    return [int(pid) for pid in text.split()]


def kill_cell(process: subprocess.Popen[bytes], chance: random.Random) -> None:
    running = children_of(process)
    if running:
        os.kill(chance.choice(running), signal.SIGKILL)


def kill_launcher(process: subprocess.Popen[bytes], chance: random.Random) -> None:
    process.kill()


def kill_both(process: subprocess.Popen[bytes], chance: random.Random) -> None:
    kill_cell(process, chance)
    process.kill()


def stop_launcher(process: subprocess.Popen[bytes], chance: random.Random) -> None:
    process.send_signal(chance.choice([signal.SIGINT, signal.SIGTERM]))


STRIKES: tuple[Strike, ...] = (kill_cell, kill_cell, kill_launcher, kill_both, stop_launcher)


def run_until_done(root: Path, *, chance: random.Random, num_kills: int) -> int:
    """Runs the same command again until the grid is done, with kills at random moments; counts the launchers."""
    for attempt in range(1, 100):
        process = launcher(root)
        while process.poll() is None and num_kills > 0:
            time.sleep(chance.uniform(0.3, 0.8))
            chance.choice(STRIKES)(process, chance)
            num_kills -= 1
        if process.wait(timeout=120) == 0:
            return attempt
    raise AssertionError("the grid was never done")


def test_a_sweep_with_random_kills_ends_complete_and_equal_to_the_undisturbed_one(tmp_path: Path) -> None:
    calm, stormy = tmp_path / "calm", tmp_path / "stormy"
    for root in (calm, stormy):
        root.mkdir()
    assert run_until_done(calm, chance=random.Random(0), num_kills=0) == 1
    assert run_until_done(stormy, chance=random.Random(1), num_kills=NUM_KILLS) > 1
    assert states(stormy) == states(calm) == {f"cell{index}": "done" for index in range(NUM_CELLS)}
    for index in range(NUM_CELLS):
        folder = stormy / "train" / f"cell{index}"
        # No step lost or done twice, none finished twice, no lock left behind.
        assert lines_of(folder / "steps") == lines_of(calm / "train" / folder.name / "steps")
        assert lines_of(folder / "steps") == [str(step) for step in range(NUM_STEPS)]
        assert len(lines_of(folder / "finished")) == 1
        assert not is_locked(run_lock(folder))


def test_a_sweep_of_two_launchers_under_random_kills_runs_no_cell_twice(tmp_path: Path) -> None:
    chance = random.Random(2)
    for _ in range(30):
        pair = [launcher(tmp_path), launcher(tmp_path)]
        time.sleep(chance.uniform(1.0, 2.0))
        for process in pair:
            chance.choice(STRIKES)(process, chance)
        codes = [process.wait(timeout=120) for process in pair]
        if 0 in codes:
            break
    assert set(states(tmp_path).values()) == {"done"}
    for index in range(NUM_CELLS):
        folder = tmp_path / "train" / f"cell{index}"
        assert lines_of(folder / "steps") == [str(step) for step in range(NUM_STEPS)]
        assert len(lines_of(folder / "finished")) == 1
