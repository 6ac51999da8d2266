from __future__ import annotations

import subprocess
from pathlib import Path

from rich.console import Console

from bioinstruct.config import TrainConfig
from bioinstruct.launcher.cells import Cell, CellPlan
from bioinstruct.launcher.children import Child
from bioinstruct.launcher.devices import Lease
from bioinstruct.launcher.jobs import Job, Progress, State, newest_metrics
from bioinstruct.launcher.view import LiveView, PlainView, duration, make_view, sweep_table


def job(label: str, state: State) -> Job:
    plan = CellPlan(label, "new", num_tokens=1, num_steps=10, folder=Path(label))
    return Job(Cell(label, (), TrainConfig(), plan), state)


def rendered(jobs: list[Job], *, max_rows: int) -> str:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(sweep_table(jobs, now=0.0, max_rows=max_rows))
    return capture.get()


def test_a_table_shows_running_cells_first_and_counts_what_does_not_fit() -> None:
    jobs = [job(f"done{i}", "done") for i in range(9)] + [job("waits", "waiting"), job("runs", "running")]
    text = rendered(jobs, max_rows=4)
    assert "11 cells: 1 running · 1 waiting · 9 done" in text
    assert text.index("runs") < text.index("waits") < text.index("done0")
    assert "… and 8 more" in text


def test_newest_metrics_skips_rows_without_a_loss_and_half_written_ones(tmp_path: Path) -> None:
    file = tmp_path / "metrics.csv"
    assert newest_metrics(file) is None
    file.write_text("step,loss,validation_loss\n0,2.5,\n1,2.25,\n1,,2.0\n2,2.1")
    assert newest_metrics(file) == (1, 2.25)


def test_newest_metrics_reads_the_end_of_a_long_file(tmp_path: Path) -> None:
    rows = "".join(f"{step},{step / 1000:.3f}\n" for step in range(5000))
    (tmp_path / "metrics.csv").write_text(f"step,loss\n{rows}")
    assert newest_metrics(tmp_path / "metrics.csv") == (4999, 4.999)


def test_time_left_comes_from_the_steps_seen_by_this_launcher(tmp_path: Path) -> None:
    file, progress = tmp_path / "metrics.csv", Progress()
    file.write_text("step,loss\n39,2.5\n")
    progress.read(file, now=100.0)
    assert progress.seconds_left(100) is None
    file.write_text("step,loss\n49,2.5\n")
    progress.read(file, now=120.0)
    assert progress.seconds_left(100) == 100.0


def test_only_a_terminal_gets_a_live_table() -> None:
    assert isinstance(make_view(Console(force_terminal=True)), LiveView)
    assert isinstance(make_view(Console(force_terminal=False)), PlainView)


def test_durations_are_short() -> None:
    assert [duration(s) for s in (45, 720, 12240)] == ["45 s", "12 min", "3.4 h"]


def test_a_cell_whose_last_step_is_done_is_evaluating() -> None:
    running = job("a", "running")
    running.child = Child(subprocess.Popen(["true"]), log_file=Path("a.log"), log_start=0)
    running.lease = Lease(("cpu0",), is_gpu=False, threads=1)
    running.attempts = 1
    running.progress.steps_done = 9
    assert "training" in rendered([running], max_rows=9)
    running.progress.steps_done = 10
    assert "evaluating" in rendered([running], max_rows=9)
    running.child.process.wait()
