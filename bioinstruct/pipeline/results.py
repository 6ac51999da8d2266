"""What a run folder says of itself: run.json while it goes on, results.json with every score."""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import cast

import torch

from bioinstruct.config import TrainConfig, effective_include, save_config
from bioinstruct.config.compose import category_label
from bioinstruct.corpus import Corpus
from bioinstruct.pipeline.identity import finished_suites
from bioinstruct.runs import JsonValue, RunFolder, read_json, write_json

PACKAGES = ("bioinstruct", "torch", "transformers", "peft", "pytorch-lightning", "bitsandbytes", "hydra-core")


def start_run(config: TrainConfig, folder: RunFolder) -> None:
    """Makes the run folder with its configuration, and notes what it runs on."""
    if not folder.config_file.is_file():
        save_config(config, folder.config_file)
    tuned = category_label(config.category) != "none"
    update_run(
        folder,
        {
            "run_id": folder.run_id,
            "model": config.model.name,
            "template": config.template.name,
            "category": category_label(config.category),
            "include": list(effective_include(config.category)),
            "seed": config.seed if tuned else None,
            "data": config.data.name if tuned else None,
            "experiment": config.experiment_name,
            "sweep": config.sweep_name,
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "error": None,
            **_surroundings(),
        },
    )


def _surroundings() -> dict[str, JsonValue]:
    commit, dirty = _git_state()
    return {
        "git_commit": commit,
        "git_dirty": dirty,
        "packages": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"cpu, {torch.get_num_threads()} threads",
    }


def _git_state() -> tuple[str | None, bool | None]:
    """(commit, whether files differ from it) of the source checkout; None for an installed package."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None, None
    git = ["git", "-C", str(root)]
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    status = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=False)
    return (commit.stdout.strip() or None, bool(status.stdout.strip())) if commit.returncode == 0 else (None, None)


def update_run(folder: RunFolder, values: Mapping[str, JsonValue]) -> None:
    """Changes run.json, atomically."""
    state = read_json(folder.state_file) if folder.state_file.is_file() else {}
    write_json(folder.state_file, {**state, **values})


def describe_training(corpus: Corpus) -> dict[str, JsonValue]:
    """Counts of what a cell was tuned on."""
    counts = corpus.counts()
    return {
        "num_records": len(corpus.training),
        "num_validation_records": len(corpus.validation),
        "num_tokens": sum(count.num_tokens for count in counts.values()),
        "num_response_tokens": sum(count.num_response_tokens for count in counts.values()),
        "records_per_category": {name: count.num_records for name, count in counts.items()},
        "num_cut": corpus.num_cut,
        "num_dropped": corpus.num_dropped,
    }


def finish_suite(folder: RunFolder, *, suite: str) -> None:
    """Writes results.json from all score files of the run, and notes the suite as finished."""
    write_results(folder)
    suites = [*(key for key in finished_suites(folder) if key != suite), suite]
    update_run(folder, {"status": "evaluated", "suites": list(suites)})


def write_results(folder: RunFolder) -> None:
    """All scores of the run in one file, replaced atomically; score files are the source."""
    state = read_json(folder.state_file)
    scores: list[JsonValue] = []
    for file in sorted(folder.evaluations.glob("*.json"), key=lambda path: path.stat().st_mtime):
        score = read_json(file)
        score.pop("items", None)
        scores.append({**score, "file": f"evaluations/{file.name}"})
    names = ("run_id", "model", "template", "category", "include", "seed", "data", "training", "design")
    write_json(folder.results_file, {**{name: state.get(name) for name in names}, "scores": scores})


def results_summary(folder: RunFolder) -> dict[str, float | str]:
    """Headline values as eval/<family>/<task>/<metric>, for wandb."""
    summary: dict[str, float | str] = {}
    scores = read_json(folder.results_file)["scores"] if folder.results_file.is_file() else []
    assert isinstance(scores, list)
    for score in scores:
        assert isinstance(score, dict)
        metrics = score["metrics"]
        assert isinstance(metrics, dict)
        for name, estimate in metrics.items():
            assert isinstance(estimate, dict)
            key = f"eval/{score['family']}/{score['task']}/{score['protocol']}/{name}"
            summary[key] = float(str(estimate["value"]))
    return summary


def flat_config(config: TrainConfig) -> dict[str, JsonValue]:
    """The typed configuration with dotted keys and plain values."""
    flat: dict[str, JsonValue] = {}

    def walk(prefix: str, value: object) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), inner)
        else:
            flat[prefix] = value.value if isinstance(value, Enum) else cast(JsonValue, value)

    walk("", asdict(config))
    return flat
