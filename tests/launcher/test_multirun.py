"""The whole way: bioinstruct-train -m with real cells on the small model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bioinstruct.records import record_id

RECORDS = [
    {"instruction": f"Name drug number {n}.", "input": "", "output": f"Drug {n} is compound {n * 7 % 13}."}
    for n in range(24)
]


@pytest.fixture
def study(tmp_path: Path, small_llama: Path) -> Path:
    """A folder with labelled records and a --config-dir of its own whose experiment names them."""
    (tmp_path / "records.json").write_text(json.dumps(RECORDS))
    keys = [record_id(record["instruction"], record["input"]) for record in RECORDS]
    labels = [{"record": key, "category": "qa" if n % 2 else "ie"} for n, key in enumerate(keys)]
    (tmp_path / "labels.jsonl").write_text("".join(f"{json.dumps(label)}\n" for label in labels))
    experiments = tmp_path / "my_configs" / "experiment"
    experiments.mkdir(parents=True)
    (experiments / "mine.yaml").write_text(
        f"""# @package _global_
defaults:
  - override /model: local
  - override /lora: all_linear
  - override /data: local
  - override /trainer: cpu
experiment_name: mine
model: {{path: {small_llama}, name: small, dtype: float32}}
data: {{path: {tmp_path}/records.json, labels: {tmp_path}/labels.jsonl, validation_fraction: 0}}
optim: {{epochs: 1, records_per_step: 4}}
tasks: null
"""
    )
    return tmp_path


def train(study: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bioinstruct.train", "--config-dir", "my_configs", "-m", "experiment=mine"]
    return subprocess.run(
        [*command, *arguments],
        cwd=study,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def listing(study: Path, name: str) -> list[dict[str, str]]:
    cells: list[dict[str, str]] = json.loads((study / "outputs/sweeps" / name / "cells.json").read_text())["cells"]
    return cells


@pytest.mark.slow
def test_a_cell_on_two_ranks_does_not_repeat_the_grid(study: Path) -> None:
    """Lightning #11300, Hydra #2070: with Hydra in the ranks, each would run the whole grid again."""
    ended = train(study, "category=qa,ie", "trainer.devices=2", "hydra.launcher.slots=2", "sweep_name=two_ranks")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("started on cpu0, cpu1") == 2
    runs = sorted(path.name for path in (study / "outputs/train").glob("*-*"))
    assert sorted(cell["run_id"] for cell in listing(study, "two_ranks")) == runs
    assert len(runs) == 2
    for run in runs:
        steps = (study / "outputs/train" / run / "metrics.csv").read_text().splitlines()[1:]
        assert [int(line.split(",")[0]) for line in steps] == [0, 1, 2]


def test_nothing_starts_when_one_cell_is_wrong(study: Path) -> None:
    ended = train(study, "category=qa,gen", "sweep_name=wrong")
    assert ended.returncode == 2
    assert "1 of 2 cells cannot run, so none was started" in ended.stderr
    assert "[category=gen]" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (study / "outputs/train").exists()
