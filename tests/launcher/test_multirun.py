"""The whole way: bioinstruct-train -m with real cells on the small model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.launcher.small_study import listed_cells, logged_steps, run_sweep, write_study


@pytest.fixture
def study(tmp_path: Path, small_llama: Path) -> Path:
    return write_study(tmp_path, model=small_llama)


@pytest.mark.slow
def test_a_cell_on_two_ranks_does_not_repeat_the_grid(study: Path) -> None:
    """Lightning #11300, Hydra #2070: with Hydra in the ranks, each would run the whole grid again."""
    slots = ["trainer.devices=2", "hydra.launcher.slots=2"]
    ended = run_sweep(study, "category=qa,ie", *slots, "sweep_name=two_ranks")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("started on cpu0, cpu1") == 2
    runs = sorted(path.name for path in (study / "outputs/train").glob("*-*"))
    assert sorted(cell["run_id"] for cell in listed_cells(study, "two_ranks")) == runs
    assert len(runs) == 2
    assert [logged_steps(study, run) for run in runs] == [[0, 1, 2], [0, 1, 2]]


def test_nothing_starts_when_one_cell_is_wrong(study: Path) -> None:
    ended = run_sweep(study, "category=qa,gen", "sweep_name=wrong")
    assert ended.returncode == 2
    assert "1 of 2 cells cannot run, so none was started" in ended.stderr
    assert "[category=gen]" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (study / "outputs/train").exists()


def test_a_dry_run_shows_the_plan_and_starts_nothing(study: Path) -> None:
    ended = run_sweep(study, "category=none,qa", "seed=0,1", "dry_run=true", "sweep_name=dry")
    assert ended.returncode == 0, ended.stderr
    assert "plan of dry: 3 cells" in ended.stdout
    assert "Nothing was started." in ended.stdout
    assert not (study / "outputs/train").exists()
    assert not (study / "outputs/sweeps/dry/cells.json").exists()
