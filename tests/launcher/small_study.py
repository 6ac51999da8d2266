"""A study small enough to run whole in a test: a few labelled records, the tests' model, a --config-dir of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bioinstruct.records import record_id

CONFIG = """# @package _global_
defaults:
  - override /model: local
  - override /lora: all_linear
  - override /data: local
  - override /trainer: cpu
experiment_name: mine
model: {{path: {model}, name: small, dtype: float32}}
data: {{path: {folder}/records.json, labels: {folder}/labels.jsonl, validation_fraction: 0}}
optim: {{epochs: 1, records_per_step: 4}}
tasks: null
"""


def write_study(folder: Path, *, model: Path) -> Path:
    """Writes 12 records of qa and 12 of ie, and the experiment `mine` that tunes on them in 3 steps a category."""
    records = [
        {"instruction": f"Name drug number {n}.", "input": "", "output": f"Drug {n} is compound {n * 7 % 13}."}
        for n in range(24)
    ]
    keys = [record_id(record["instruction"], record["input"]) for record in records]
    labels = [{"record": key, "category": "qa" if n % 2 else "ie"} for n, key in enumerate(keys)]
    (folder / "records.json").write_text(json.dumps(records))
    (folder / "labels.jsonl").write_text("".join(f"{json.dumps(label)}\n" for label in labels))
    experiments = folder / "my_configs" / "experiment"
    experiments.mkdir(parents=True)
    (experiments / "mine.yaml").write_text(CONFIG.format(model=model, folder=folder))
    return folder


def sweep_command(*arguments: str) -> list[str]:
    """bioinstruct-train -m on the study's experiment; run it in the study's folder."""
    return [
        *[sys.executable, "-m", "bioinstruct.train", "--config-dir", "my_configs", "-m", "experiment=mine"],
        *arguments,
    ]


def run_sweep(study: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    command = sweep_command(*arguments)
    return subprocess.run(command, cwd=study, env=environment, capture_output=True, text=True, check=False)


def listed_cells(study: Path, sweep_name: str) -> list[dict[str, str]]:
    """The entries of cells.json."""
    listing = json.loads((study / "outputs/sweeps" / sweep_name / "cells.json").read_text())
    cells: list[dict[str, str]] = listing["cells"]
    return cells


def logged_steps(study: Path, run_id: str) -> Sequence[int]:
    """The steps in metrics.csv."""
    rows = (study / "outputs/train" / run_id / "metrics.csv").read_text().splitlines()[1:]
    return [int(row.split(",")[0]) for row in rows]
