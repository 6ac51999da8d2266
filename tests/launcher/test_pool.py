from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bioinstruct.launcher.locks import is_locked, run_lock, try_lock, work_lock
from bioinstruct.runs import RunFolder, lock_run
from tests.launcher import launcher_fakes
from tests.launcher.launcher_fakes import Orders, lines_of, make_pool, states


def start_launcher(root: Path, *, num_cells: int, slots: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, launcher_fakes.__file__, "launcher", str(root), str(num_cells), str(slots)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.01)


def test_every_cell_runs_once_and_the_listing_says_done(tmp_path: Path) -> None:
    make_pool(tmp_path, {name: {"steps": 2} for name in "abcd"}).run()
    assert states(tmp_path) == dict.fromkeys("abcd", "done")
    for name in "abcd":
        assert len(lines_of(tmp_path / "train" / name / "finished")) == 1


def test_the_longest_cell_starts_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_pool(tmp_path, {name: {} for name in ("short", "middle", "long")}, slots=1).run()
    started = [line.split()[1] for line in capsys.readouterr().out.splitlines() if "started" in line]
    assert started == ["long:", "middle:", "short:"]


def test_cells_share_cores_evenly_and_see_no_gpu(tmp_path: Path) -> None:
    make_pool(tmp_path, {"a": {}}, slots=1).run()
    make_pool(tmp_path, {"b": {}}, slots=2).run()
    assert lines_of(tmp_path / "train" / "a" / "attempts") == ["|2"]
    assert lines_of(tmp_path / "train" / "b" / "attempts") == ["|1"]


def test_a_finished_cell_is_not_started(tmp_path: Path) -> None:
    pool = make_pool(tmp_path, {"a": {}})
    pool.jobs[0].state = "done"
    pool.run()
    assert not (tmp_path / "train").exists()


def test_a_failed_cell_is_tried_again_and_can_still_succeed(tmp_path: Path) -> None:
    make_pool(tmp_path, {"a": {"fail_attempts": 1}}).run()
    assert states(tmp_path) == {"a": "done"}
    assert len(lines_of(tmp_path / "train" / "a" / "attempts")) == 2


def test_a_cell_that_keeps_failing_is_failed_with_its_error_and_the_others_are_done(tmp_path: Path) -> None:
    pool = make_pool(tmp_path, {"a": {"fail_attempts": 9, "message": "RuntimeError: boom"}, "b": {}})
    pool.run()
    assert states(tmp_path) == {"a": "failed", "b": "done"}
    assert pool.jobs[0].error == "RuntimeError: boom"
    assert len(lines_of(tmp_path / "train" / "a" / "attempts")) == 2


def test_an_error_of_the_user_is_not_tried_again(tmp_path: Path) -> None:
    orders: dict[str, Orders] = {
        "a": {"fail_attempts": 9, "exit_code": 2, "message": "error: data.path=x is not there"}
    }
    pool = make_pool(tmp_path, orders, max_retries=5)
    pool.run()
    assert len(lines_of(tmp_path / "train" / "a" / "attempts")) == 1
    assert pool.jobs[0].error == "data.path=x is not there"


def test_a_killed_cell_says_by_which_signal(tmp_path: Path) -> None:
    pool = make_pool(tmp_path, {"a": {"fail_attempts": 9, "kill_self": 1}}, max_retries=0)
    pool.run()
    assert pool.jobs[0].error == "ended by SIGKILL (out of memory?)"


def test_on_error_stop_ends_the_running_cells_and_starts_no_other(tmp_path: Path) -> None:
    orders: dict[str, Orders] = {
        "waits": {},
        "runs": {"steps": 999, "seconds": 0.05},
        "fails": {"fail_attempts": 9},
    }
    make_pool(tmp_path, orders, max_retries=0, stop_on_error=True).run()
    assert states(tmp_path) == {"waits": "waiting", "runs": "interrupted", "fails": "failed"}


def test_a_cell_on_two_slots_is_not_overtaken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    orders: dict[str, Orders] = {"small": {}, "wide": {"devices": 2}, "long": {"steps": 3, "seconds": 0.1}}
    make_pool(tmp_path, orders).run()
    started = [line.split()[1] for line in capsys.readouterr().out.splitlines() if "started" in line]
    assert started == ["long:", "wide:", "small:"]


@pytest.mark.parametrize("lock_file", [run_lock, work_lock])
def test_a_cell_locked_elsewhere_is_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lock_file: Callable[[Path], Path]
) -> None:
    lock = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", "import sys, time; from pathlib import Path; "
         "from bioinstruct.launcher.locks import try_lock; assert try_lock(Path(sys.argv[1])); "
         "Path(sys.argv[2]).touch(); time.sleep(1.5)", str(lock_file(tmp_path / "train" / "a")), str(lock)]
    )  # fmt: skip
    wait_for(lock.exists)
    make_pool(tmp_path, {"a": {}, "b": {}}).run()
    assert holder.wait() == 0
    assert states(tmp_path) == {"a": "done", "b": "done"}
    assert "a: runs elsewhere" in capsys.readouterr().out


def test_a_lock_is_free_again_when_its_holder_is_killed(tmp_path: Path) -> None:
    code = "import sys, os; from pathlib import Path; from bioinstruct.launcher.locks import try_lock; "
    code += "try_lock(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.lock")], check=False)
    handle = try_lock(tmp_path / "a.lock")
    assert handle is not None
    assert try_lock(tmp_path / "a.lock") is None
    os.close(handle)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_sweep_ends_its_cells_and_the_same_command_continues(tmp_path: Path, number: signal.Signals) -> None:
    launcher = start_launcher(tmp_path, num_cells=4, slots=2)
    wait_for(lambda: len(lines_of(tmp_path / "train" / "cell3" / "steps")) >= 2)
    launcher.send_signal(number)
    assert launcher.wait(timeout=20) == 1
    assert states(tmp_path)["cell3"] == "interrupted"
    steps_before = lines_of(tmp_path / "train" / "cell3" / "steps")
    assert start_launcher(tmp_path, num_cells=4, slots=2).wait(timeout=30) == 0
    assert set(states(tmp_path).values()) == {"done"}
    assert lines_of(tmp_path / "train" / "cell3" / "steps") == [str(step) for step in range(5)]
    assert len(steps_before) < 5


def test_a_deaf_cell_is_killed_after_the_grace_time(tmp_path: Path) -> None:
    orders: dict[str, Orders] = {
        "fails": {"fail_attempts": 9},
        "deaf": {"deaf": 1, "steps": 999, "seconds": 0.1},
    }
    pool = make_pool(tmp_path, orders, max_retries=0, stop_on_error=True, grace_seconds=0.5)
    pool.run()
    assert states(tmp_path) == {"fails": "failed", "deaf": "interrupted"}


def test_children_of_a_killed_launcher_end_themselves(tmp_path: Path) -> None:
    launcher = start_launcher(tmp_path, num_cells=2, slots=2)
    wait_for(lambda: all((tmp_path / "train" / f"cell{i}" / "steps").exists() for i in range(2)))
    launcher.kill()
    launcher.wait()
    wait_for(lambda: not is_locked(run_lock(tmp_path / "train" / "cell0")))
    wait_for(lambda: not is_locked(run_lock(tmp_path / "train" / "cell1")))
    assert not (tmp_path / "train" / "cell0" / "done").exists()


def test_the_lock_of_a_working_process_is_the_one_the_launcher_looks_at(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "train" / "a")
    assert not is_locked(work_lock(folder.path))
    with lock_run(folder):
        assert is_locked(work_lock(folder.path))


def test_two_launchers_on_one_sweep_run_each_cell_once(tmp_path: Path) -> None:
    launchers = [start_launcher(tmp_path, num_cells=6, slots=2) for _ in range(2)]
    assert [launcher.wait(timeout=60) for launcher in launchers] == [0, 0]
    assert set(states(tmp_path).values()) == {"done"}
    for index in range(6):
        assert len(lines_of(tmp_path / "train" / f"cell{index}" / "finished")) == 1


def test_the_listing_has_the_agreed_fields(tmp_path: Path) -> None:
    make_pool(tmp_path, {"a": {}}).run()
    listing = json.loads((tmp_path / "sweeps" / "fake" / "cells.json").read_text())
    assert listing == {
        "sweep_name": "fake",
        "cells": [
            {"run_id": "a", "overrides": ["category=a"], "label": "a", "state": "done", "error": None,
             "config": "cells/a.yaml"}
        ],
    }  # fmt: skip
