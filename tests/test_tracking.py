"""wandb mirrors the run folder: one run per cell, grouped and tagged, ended with its exit code."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bioinstruct.config import LoggerConfig
from bioinstruct.config.schema import LoggerKind
from bioinstruct.errors import PrerequisiteError
from bioinstruct.pipeline import run_cell
from bioinstruct.pipeline.results import flat_config
from bioinstruct.tracking import RunLabels, track
from tests.cells import small_cell, write_records

LABELS = RunLabels("tiny-qa-s0-aaaaaaaa", "tiny-category_ablation", ("tiny", "qa", "tiny"), {"optim.lr": 0.01})


class FakeRun:
    """Keeps what a wandb run is told."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.summary: dict[str, float] = {}
        self.exit_code: int | None = None

    def log(self, values: dict[str, float], step: int) -> None:
        self.rows.append((step, values))

    def finish(self, exit_code: int) -> None:
        self.exit_code = exit_code


@pytest.fixture
def wandb_calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Puts a fake in wandb's place; returns what init was called with, and the run."""
    calls: dict[str, object] = {}
    run = FakeRun()

    def init(**arguments: object) -> FakeRun:
        calls.update(arguments, run=run)
        return run

    errors = SimpleNamespace(UsageError=RuntimeError, CommError=ConnectionError)
    fake = SimpleNamespace(init=init, Settings=lambda **options: options, errors=errors)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return calls


def test_a_run_is_named_grouped_tagged_and_resumable(tmp_path: Path, wandb_calls: dict[str, object]) -> None:
    with track(LoggerConfig(kind=LoggerKind.wandb, project="p"), LABELS, folder=tmp_path) as tracker:
        tracker.log_row({"step": 3, "loss": 1.5})
        tracker.log_summary({"eval/qa/tiny_qa/alpaca/acc": 0.5})
    run = wandb_calls["run"]
    assert isinstance(run, FakeRun)
    assert (wandb_calls["id"], wandb_calls["resume"], wandb_calls["mode"]) == (LABELS.run_id, "allow", "online")
    assert (wandb_calls["group"], wandb_calls["job_type"]) == ("tiny-category_ablation", "cell")
    assert wandb_calls["tags"] == ["tiny", "qa", "tiny"]
    assert run.rows == [(3, {"train/step": 3, "train/loss": 1.5})]
    assert run.summary == {"eval/qa/tiny_qa/alpaca/acc": 0.5}
    assert run.exit_code == 0


def test_a_failed_cell_is_marked_failed(tmp_path: Path, wandb_calls: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="boom"), track(LoggerConfig(kind=LoggerKind.wandb), LABELS, folder=tmp_path):
        raise ValueError("boom")
    run = wandb_calls["run"]
    assert isinstance(run, FakeRun)
    assert run.exit_code == 1


def test_a_missing_login_says_what_to_do(
    tmp_path: Path, wandb_calls: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> FakeRun:
        raise RuntimeError("api_key not configured")

    import wandb

    monkeypatch.setattr(wandb, "init", refuse)
    with (
        pytest.raises(PrerequisiteError, match="wandb login"),
        track(LoggerConfig(kind=LoggerKind.wandb), LABELS, folder=tmp_path),
    ):
        pass
    assert wandb_calls == {}


def test_the_flat_config_has_the_names_of_the_command_line(small_llama: Path, tmp_path: Path) -> None:
    flat = flat_config(small_cell(small_llama, write_records(tmp_path), tmp_path))
    assert flat["optim.lr"] == 0.01
    assert flat["model.dtype"] == "float32"
    assert flat["category.include"] == ["qa", "ie", "gen"]


def test_an_offline_run_is_written_once_from_the_run_folder(small_llama: Path, tmp_path: Path) -> None:
    """With the real wandb: its offline runs cannot be resumed, and two of one id overwrite each other."""
    config = small_cell(small_llama, write_records(tmp_path), tmp_path, "optim.max_steps=2", "logger=wandb_offline")
    folder = run_cell(config)
    config.overwrite = True
    assert run_cell(config) == folder
    assert len(list((folder / "wandb").glob("offline-run-*"))) == 1
