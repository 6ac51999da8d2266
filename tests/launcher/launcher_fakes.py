"""Fakes for the launcher's tests: cells that count instead of training, and a launcher around them.

Run as a program it is the fake cell (`cell <run folder> <orders.json>`) or a launcher of fake cells
(`launcher <root> <number of cells> <slots>`), so that both can be killed.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bioinstruct.launcher.lineage import PARENT_VARIABLE, end_with_parent

if TYPE_CHECKING:  # imported late elsewhere, so that a fake cell starts in milliseconds
    from bioinstruct.launcher.pool import Pool

Orders = Mapping[str, int | float | str]
"""What a fake cell does: steps, seconds (of a step), fail_attempts, exit_code, message, kill_self, deaf."""


def fake_cell(folder: Path, orders: Orders) -> None:
    """Counts to `steps`, one checkpoint a step; goes on where it was; returns at once when finished."""
    end_with_parent(os.environ.get(PARENT_VARIABLE), signal.SIGTERM)
    if orders.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    folder.mkdir(parents=True, exist_ok=True)
    note(folder / "attempts", f"{os.environ['CUDA_VISIBLE_DEVICES']}|{os.environ['OMP_NUM_THREADS']}")
    if (folder / "done").exists():
        return
    if len(lines_of(folder / "attempts")) <= int(orders.get("fail_attempts", 0)):
        print(orders.get("message", "ValueError: ordered to fail"), flush=True)
        if orders.get("kill_self"):
            os.kill(os.getpid(), signal.SIGKILL)
        sys.exit(int(orders.get("exit_code", 1)))
    for step in range(len(lines_of(folder / "steps")), int(orders.get("steps", 1))):
        time.sleep(float(orders.get("seconds", 0.0)))
        note(folder / "steps", str(step))
    note(folder / "finished", str(os.getpid()))
    (folder / "done").touch()


def note(file: Path, text: str) -> None:
    """Appends one line under a lock: concurrent fakes must not lose each other's lines."""
    with file.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.write(f"{text}\n")


def lines_of(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def make_pool(
    root: Path,
    orders: Mapping[str, Orders],
    *,
    slots: int = 2,
    max_retries: int = 1,
    stop_on_error: bool = False,
    grace_seconds: float = 10.0,
) -> Pool:
    """A pool of fake cells, one per entry of `orders`; the later ones are predicted to be longer."""
    from rich.console import Console

    from bioinstruct.config import TrainConfig, TrainerConfig
    from bioinstruct.launcher.cells import Cell, CellPlan
    from bioinstruct.launcher.devices import cpu_devices
    from bioinstruct.launcher.jobs import SweepFolder, jobs_of
    from bioinstruct.launcher.pool import Pool
    from bioinstruct.launcher.view import PlainView

    (root / "orders.json").write_text(json.dumps(dict(orders)))
    cells = [
        Cell(
            label=name,
            overrides=(f"category={name}",),
            config=TrainConfig(trainer=TrainerConfig(devices=int(order.get("devices", 1)))),
            plan=CellPlan(name, state="new", num_tokens=index, num_steps=1, folder=root / "train" / name),
        )
        for index, (name, order) in enumerate(orders.items())
    ]
    return Pool(
        jobs=jobs_of(cells),
        devices=cpu_devices(slots, cores=2),
        folder=SweepFolder(root / "sweeps" / "fake"),
        view=PlainView(Console()),
        command=lambda file: cell_command(root, file.stem),
        max_retries=max_retries,
        stop_on_error=stop_on_error,
        grace_seconds=grace_seconds,
    )


def cell_command(root: Path, name: str) -> list[str]:
    return [sys.executable, __file__, "cell", str(root / "train" / name), str(root / "orders.json")]


def states(root: Path) -> dict[str, str]:
    """The states in cells.json by run id."""
    listing = json.loads((root / "sweeps" / "fake" / "cells.json").read_text())
    return {cell["run_id"]: cell["state"] for cell in listing["cells"]}


def main(arguments: Sequence[str]) -> None:
    if arguments[0] == "cell":
        folder, orders = Path(arguments[1]), json.loads(Path(arguments[2]).read_text())
        fake_cell(folder, orders[folder.name])
        return
    root, num_cells, slots = Path(arguments[1]), int(arguments[2]), int(arguments[3])
    pool = make_pool(root, {f"cell{i}": {"steps": 5, "seconds": 0.05} for i in range(num_cells)}, slots=slots)
    pool.run()
    sys.exit(0 if all(job.state == "done" for job in pool.jobs) else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
