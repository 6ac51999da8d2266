from __future__ import annotations

from pathlib import Path

import pytest

from bioinstruct.config import ModelConfig, TrainConfig, TrainerConfig
from bioinstruct.errors import UserError
from bioinstruct.launcher.cells import Cell, CellPlan, Planned
from bioinstruct.launcher.forecast import forecast_cells, makespan, measure_runs, tokens_left
from bioinstruct.launcher.plan import time_lines
from bioinstruct.runs import write_json


def cell(folder: Path, state: Planned, *, num_tokens: int = 1000, devices: int = 1) -> Cell:
    config = TrainConfig(model=ModelConfig(name="m"), trainer=TrainerConfig(devices=devices))
    return Cell("a", (), config, CellPlan("a", state, num_tokens=num_tokens, num_steps=10, folder=folder))


@pytest.mark.parametrize(
    ("cells", "num_devices", "expected"),
    [
        ([], 2, 0.0),
        ([(3.0, 1), (2.0, 1), (2.0, 1)], 1, 7.0),
        # 3 | 2, then the second 2 follows the first: ends at 4
        ([(2.0, 1), (3.0, 1), (2.0, 1)], 2, 4.0),
        # the wide cell of 2 waits for both devices (at 3), and the short ones do not overtake it
        ([(3.0, 1), (2.0, 2), (1.0, 1)], 2, 6.0),
        ([(1.0, 1)] * 30, 64, 1.0),
    ],
)
def test_makespan_of_hand_computed_schedules(cells: list[tuple[float, int]], num_devices: int, expected: float) -> None:
    assert makespan(cells, num_devices) == expected


def test_a_cell_wider_than_the_node_is_refused() -> None:
    with pytest.raises(UserError, match="needs 4 devices, more than 2"):
        makespan([(1.0, 4)], 2)


def test_tokens_that_are_left(tmp_path: Path) -> None:
    assert tokens_left(cell(tmp_path, "new")) == 1000
    assert tokens_left(cell(tmp_path, "trained")) == 0
    assert tokens_left(cell(tmp_path, "done")) == 0
    assert tokens_left(cell(tmp_path, "interrupted")) == 1000
    (tmp_path / "metrics.csv").write_text("step,loss\n0,2.5\n1,2.4\n2,2.3\n")
    assert tokens_left(cell(tmp_path, "interrupted")) == 700


def test_speed_is_the_median_of_the_models_runs_on_the_newest_device(tmp_path: Path) -> None:
    runs = [
        ("m", "cpu", "2026-01-01", 10.0),
        ("m", "H200", "2026-02-01", 100.0),
        ("m", "H200", "2026-02-02", 300.0),
        ("m", "H200", "2026-02-03", 200.0),
        ("other", "H200", "2026-03-01", 7.0),
    ]
    for index, (model, device, started, speed) in enumerate(runs):
        state = {"model": model, "device": device, "started": started, "tokens_per_second": speed}
        write_json(tmp_path / str(index) / "run.json", state)
    write_json(tmp_path / "unfinished" / "run.json", {"model": "m", "device": "H200", "started": "2026-04-01"})
    measured = measure_runs(tmp_path, model="m")
    assert measured is not None
    assert (measured.tokens_per_second, measured.num_runs, measured.device) == (200.0, 3, "H200")
    assert measure_runs(tmp_path, model="unknown") is None


def test_hours_need_a_measured_or_a_given_speed(tmp_path: Path) -> None:
    cells = [cell(tmp_path, "new", num_tokens=7200, devices=2), cell(tmp_path, "done")]
    unknown = forecast_cells(cells, measured={"m": None}, tokens_per_second=None)
    assert [each.seconds for each in unknown] == [None, 0.0]
    assert time_lines(unknown, [2]) == []
    given = forecast_cells(cells, measured={"m": None}, tokens_per_second=2.0)
    assert [each.seconds for each in given] == [3600.0, 0.0]
    assert time_lines(given, [2]) == [
        "Training that is left, evaluation not counted: 2.00 device hours",
        "  on 2 devices: 60 min, 100% busy",
    ]
