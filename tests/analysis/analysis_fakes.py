"""Fake run folders with planted effects: 2^3 cells × seeds, six tasks, layout of real runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from bioinstruct.analysis.cells import Items
from bioinstruct.analysis.outcomes import item_values
from bioinstruct.statistics import bootstrap_mean, standard_error, wilson_interval

SUBSETS: tuple[tuple[str, ...], ...] = tuple(
    subset for size in range(4) for subset in combinations(("qa", "ie", "gen"), size)
)
TASKS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("pubmedqa", "qa", "binary", ("alpaca", "lm_eval")),
    ("medqa", "qa", "binary", ("alpaca", "lm_eval")),
    ("rqe", "nli", "binary", ("alpaca",)),
    ("bc5cdr_chemical", "ie", "counts", ("alpaca",)),
    ("phee", "ie", "counts", ("alpaca",)),
    ("mts_dialog", "gen", "rouge", ("alpaca",)),
)
BASE = {"qa": 0.45, "nli": 0.5, "ie": 0.2, "gen": 0.25}


def label(subset: Sequence[str]) -> str:
    """none, qa, …, all."""
    return "none" if not subset else "all" if len(subset) == 3 else "_".join(subset)


def level(family: str, subset: Sequence[str], *, records: int = 600) -> float:
    """The planted mean: the own category helps much, the others a little, QA × IE interact on IE."""
    gain = sum(0.25 if name == family else 0.03 for name in subset)
    synergy = 0.06 if family == "ie" and {"qa", "ie"} <= set(subset) else 0.0
    return BASE[family] + (gain + synergy) * min(1.0, 0.3 + records / 860)


def columns(kind: str, mean: float, *, n: int, seed: int, task: str, cell: str) -> dict[str, list[float]]:
    """Columnar items: difficulty shared by all cells, own noise per seed."""
    shared = np.random.default_rng(abs(hash_text(task)))
    own = np.random.default_rng([seed, hash_text(task), hash_text(cell)])
    hardness = shared.normal(0, 0.15, n)
    share = np.clip(mean + own.normal(0, 0.02) + hardness, 0.01, 0.99)
    if kind == "counts":
        gold = shared.integers(1, 5, n)
        hits = own.binomial(gold, share)
        predicted = hits + own.binomial(gold, 1 - share)
        value = 2 * hits / (predicted + gold)
        return {
            "value": value.tolist(),
            "true_positives": hits.tolist(),
            "predicted": predicted.tolist(),
            "gold": gold.tolist(),
        }
    value = (own.random(n) < share).astype(float) if kind == "binary" else np.clip(share + own.normal(0, 0.05, n), 0, 1)
    zeros = [0] * n
    return {"value": value.tolist(), "true_positives": zeros, "predicted": zeros, "gold": zeros}


def hash_text(text: str) -> int:
    """A seed from a name, the same in every process."""
    return sum(ord(letter) * 31**i for i, letter in enumerate(text)) % 2**31


def score(
    task: str, family: str, kind: str, *, protocol: str, mean: float, n: int, seed: int, cell: str
) -> dict[str, object]:
    """One entry of `scores` with its items."""
    items = columns(kind, mean - (0.05 if protocol == "lm_eval" else 0), n=n, seed=seed, task=task, cell=cell)
    reduction = "micro_f1" if kind == "counts" else "mean"
    arrays = {key: np.array(items[key], dtype=float) for key in items}
    ids = [f"{task}-{i}" for i in range(n)]
    values = item_values(Items(tuple(ids), **arrays), reduction).tolist()
    value = float(np.mean(values))
    low, high = wilson_interval(round(sum(values)), n) if kind == "binary" else bootstrap_mean(values)
    name = {"binary": "accuracy", "counts": "entity_f1", "rouge": "rougeLsum"}[kind]
    estimate = {
        "value": value,
        "low": low,
        "high": high,
        "n": n,
        "signature": f"{name}|v1|wilson",
        "standard_error": standard_error(values),
    }
    return {
        "task": task,
        "family": family,
        "protocol": protocol,
        "protocol_hash": f"{hash_text(task + protocol):012x}",
        "split": "test",
        "n": n,
        "headline": name,
        "reduction": reduction,
        "parse_failure_rate": 0.02 if kind == "counts" else 0.0,
        "metrics": {name: estimate},
        "baselines": {"majority": 0.4} if kind == "binary" else {"source copied": 0.1},
        "items": {"id": ids, **items, "parse": ["ok"] * n},
    }


def row(
    subset: Sequence[str], seed: int | None, *, n: int = 200, model: str = "tiny", design: str = "natural",
    records: int = 600, tasks: Sequence[tuple[str, str, str, tuple[str, ...]]] = TASKS,
) -> dict[str, object]:  # fmt: skip
    """What results.json holds for one cell, items inside."""
    name = label(subset)
    digest = hash_text(f"{model} {name} {design} {seed} {records}")
    run_id = f"{model}-{name}{'' if seed is None else f'-s{seed}'}-{digest:08x}"
    scores = [
        score(
            task,
            family,
            kind,
            protocol=protocol,
            mean=level(family, subset, records=records),
            n=n,
            seed=seed or 0,
            cell=f"{name}{design}{records}",
        )
        for task, family, kind, protocols in tasks
        for protocol in protocols
    ]
    size = {
        "num_records": records * len(subset),
        "num_tokens": 100 * records * len(subset),
        "num_steps": records // 8,
        "records_per_category": dict.fromkeys(subset, records),
    }
    return {
        "run_id": run_id,
        "model": model,
        "template": "alpaca",
        "category": name,
        "include": list(subset),
        "seed": seed,
        "data": "bioinstruct",
        "design": design,
        "training": size if subset else None,
        "scores": scores,
    }


def grid_rows(seeds: Sequence[int] = (0, 1, 2), **options: object) -> list[dict[str, object]]:
    """All eight subsets; the untuned one once."""
    return [
        row(subset, seed if subset else None, **options)  # type: ignore[arg-type]
        for subset in SUBSETS
        for seed in (seeds if subset else seeds[:1])
    ]


def write_run(row: dict[str, object], runs_root: Path) -> None:
    """Writes results.json, run.json, config.yaml and the score files of one row."""
    folder = runs_root / str(row["run_id"])
    (folder / "evaluations").mkdir(parents=True)
    listed = []
    scores = row["scores"]
    assert isinstance(scores, list)
    for one in scores:
        name = f"evaluations/{one['task']}-{one['protocol_hash']}.json"
        (folder / name).write_text(json.dumps(one))
        listed.append({key: value for key, value in one.items() if key != "items"} | {"file": name})
    (folder / "results.json").write_text(json.dumps(row | {"scores": listed}))
    (folder / "run.json").write_text(json.dumps({"run_id": row["run_id"], "status": "evaluated"}))
    training = row["training"]
    assert training is None or isinstance(training, dict)
    records = training["num_records"] // max(len(training["records_per_category"]), 1) if training else "null"
    config = f"model: {{name: {row['model']}}}\nlora: {{rank: 16}}\ndata: {{num_records: {records}}}\n"
    (folder / "config.yaml").write_text(config)


def write_sweep(rows: Sequence[dict[str, object]], root: Path, *, states: dict[int, str] | None = None) -> Path:
    """Writes run folders and cells.json; `states` marks cells (by index) without results."""
    states = states or {}
    cells = []
    for index, one in enumerate(rows):
        state = states.get(index, "done")
        if state == "done":
            write_run(one, root / "train")
        error = "Traceback\nRuntimeError: out of memory <i>&" if state == "failed" else None
        cells.append(
            {
                "run_id": one["run_id"],
                "overrides": [],
                "label": one["category"],
                "state": state,
                "error": error,
            }
        )
    folder = root / "sweeps" / "fake"
    folder.mkdir(parents=True)
    (folder / "cells.json").write_text(json.dumps({"sweep_name": "fake", "cells": cells}))
    return folder
