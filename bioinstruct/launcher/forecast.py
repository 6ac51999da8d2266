"""What a sweep will cost before it starts: time per cell from measured throughput, and time on n devices."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bioinstruct.errors import UserError
from bioinstruct.launcher.cells import Cell
from bioinstruct.launcher.jobs import newest_metrics
from bioinstruct.runs import JsonValue, RunFolder, read_json


@dataclass(frozen=True)
class Measured:
    """What finished runs of a model say about the next ones."""

    tokens_per_second: float
    num_runs: int
    device: str


@dataclass(frozen=True)
class Forecast:
    """One cell's predicted cost; None where nothing was measured."""

    cell: Cell
    num_tokens_left: int
    seconds: float | None
    """Training time that is left; evaluation is not in it."""
    num_devices: int


def measure_runs(runs_root: Path, *, model: str) -> Measured | None:
    """Median throughput of a model's trained runs on the device of the newest; None without a run."""
    found: list[dict[str, JsonValue]] = []
    for file in sorted(runs_root.glob("*/run.json")):
        state = read_json(file)
        if state.get("model") == model and isinstance(state.get("tokens_per_second"), int | float):
            found.append(state)
    if not found:
        return None
    device = max(found, key=lambda state: str(state.get("started")))["device"]
    same = [state for state in found if state["device"] == device]
    speeds = [float(str(state["tokens_per_second"])) for state in same]
    return Measured(median(speeds), num_runs=len(same), device=str(device))


def forecast_cells(
    cells: Sequence[Cell], *, measured: dict[str, Measured | None], tokens_per_second: float | None
) -> list[Forecast]:
    """Predicted cost of each cell; `tokens_per_second` stands in for models without a trained run."""
    forecasts = []
    for cell in cells:
        known = measured[cell.config.model.name]
        speed = known.tokens_per_second if known else tokens_per_second
        left = tokens_left(cell)
        forecasts.append(
            Forecast(
                cell,
                num_tokens_left=left,
                seconds=0.0 if left == 0 else None if speed is None else left / speed,
                num_devices=cell.config.trainer.devices,
            )
        )
    return forecasts


def tokens_left(cell: Cell) -> int:
    """Training tokens that are still to come: all, none, or the share of the steps not yet in metrics.csv."""
    plan = cell.plan
    if cell.config.overwrite or plan.state == "new":
        return plan.num_tokens
    if plan.state in ("done", "trained"):
        return 0
    newest = newest_metrics(RunFolder(plan.folder).metrics_file)
    steps_done = newest[0] + 1 if newest else 0
    return plan.num_tokens * max(plan.num_steps - steps_done, 0) // max(plan.num_steps, 1)


def makespan(cells: Sequence[tuple[float, int]], num_devices: int) -> float:
    """Time until the last of (duration, devices) cells ends, started as the pool does.

    Longest first; a cell that needs more devices than are free waits for them, and nobody overtakes it.
    Raises UserError for a cell that needs more devices than there are.
    """
    widest = max((devices for _, devices in cells), default=0)
    if widest > num_devices:
        raise UserError(f"hydra.launcher.num_gpus: a cell needs {widest} devices, more than {num_devices}")
    running: list[tuple[float, int]] = []
    now, free, end = 0.0, num_devices, 0.0
    for duration, devices in sorted(cells, key=lambda cell: -cell[0]):
        while free < devices:
            now, given_back = heapq.heappop(running)
            free += given_back
        heapq.heappush(running, (now + duration, devices))
        free -= devices
        end = max(end, now + duration)
    return end
