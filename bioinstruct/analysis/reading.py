"""Cells from run folders, sweep folders and plain rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from bioinstruct.analysis.cells import STATES, Cell, CellScore, Items, Reduction, State, Training
from bioinstruct.analysis.fields import Fields
from bioinstruct.errors import PrerequisiteError, UserError
from bioinstruct.runs import check_name, read_json
from bioinstruct.statistics import Estimate

RUN_ID = re.compile(r"(?P<model>.+)-(?P<category>[a-z]+(?:_[a-z]+)*)(?:-s(?P<seed>\d+))?-[0-9a-f]{8}")

RESULT_GROUPS = ("model", "lora", "template", "data", "optim")
"""Groups of the configuration that change a result besides category and seed."""


def load_sweep(folder: Path, runs_root: Path) -> list[Cell]:
    """The cells listed in a sweep folder's cells.json, finished or not.

    `runs_root` is the folder that holds one folder per run id. Raises PrerequisiteError without cells.json.
    """
    listing = folder / "cells.json"
    if not listing.is_file():
        raise PrerequisiteError(
            f"{listing} is not there; give the folder of a sweep, outputs/sweeps/<sweep_name>, "
            "or run one: bioinstruct-train -m sweep=category_ablation"
        )
    cells = []
    for entry in Fields(read_json(listing), str(listing)).inner_list("cells"):
        run_id = check_name(entry.text("run_id"), key="run_id")
        state = _state(entry.text("state"), where=str(listing))
        planned = folder / "cells" / f"{run_id}.yaml"
        cells.append(_read_cell(runs_root / run_id, planned, state=state, error=entry.optional_text("error")))
    if not cells:
        raise UserError(f"{listing} lists no cell; run the sweep first")
    return cells


def load_runs(run_ids: Sequence[str], runs_root: Path) -> list[Cell]:
    """The cells of the given run ids. Raises PrerequisiteError for a run that does not exist."""
    if not run_ids:
        raise UserError("runs is empty; allowed: two or more run ids. Write runs=[<run_id>,<run_id>]")
    for run_id in run_ids:
        check_name(run_id, key="run")
        if not (runs_root / run_id).is_dir():
            known = ", ".join(sorted(path.name for path in runs_root.glob("*-*"))[:5]) or "none yet"
            raise PrerequisiteError(f"no run {run_id!r} below {runs_root}; runs there: {known}")
    return [_read_cell(runs_root / run_id, None, state=None, error=None) for run_id in run_ids]


def cells_from_rows(rows: Iterable[Mapping[str, object]]) -> list[Cell]:
    """Cells from plain objects in the layout of results.json, such as rows rebuilt from the wandb API.

    Beside the keys of results.json a row may hold `state` (default done), `error`, `settings` (flat
    configuration) and, in each score, `items` (columnar); without items the gains of that cell are unpaired.
    """
    cells = []
    for index, row in enumerate(rows):
        fields = Fields(row, f"row {index} ({row.get('run_id')})")
        settings = Fields(row.get("settings") or {}, f"{fields.where}: settings").value
        state = _state(fields.text("state", "done"), where=fields.where)
        cells.append(
            _cell(
                fields,
                state=state,
                error=fields.optional_text("error"),
                settings={key: str(value) for key, value in settings.items()},
                folder=None,
            )
        )
    return cells


def _state(value: str, *, where: str) -> State:
    if value not in STATES:
        raise UserError(f"{where}: state is {value!r}; allowed: {', '.join(STATES)}")
    return value


def _read_cell(folder: Path, planned: Path | None, *, state: State | None, error: str | None) -> Cell:
    """The cell of a run folder; `state`, `error` and `planned` (its config) are the sweep's, if there is one."""
    results = folder / "results.json"
    settings = _read_settings(folder / "config.yaml") or (_read_settings(planned) if planned else {})
    if results.is_file() and state in (None, "done"):
        fields = Fields(read_json(results), str(results))
        return _cell(fields, state="done", error=error, settings=settings, folder=folder)
    run_file = folder / "run.json"
    fields = Fields(read_json(run_file) if run_file.is_file() else {}, str(run_file))
    if state is None:
        state = "failed" if fields.text("status", "interrupted") == "failed" else "interrupted"
    elif state == "done":
        state = "interrupted"
    if state == "interrupted" and error is None:
        error = f"no results.json; bioinstruct-evaluate run={folder.name} or the same command again"
    named = RUN_ID.fullmatch(folder.name)
    category = fields.text("category", named["category"] if named else folder.name)
    seed = named["seed"] if named else None
    return Cell(
        run_id=folder.name,
        state=state,
        model=fields.text("model", settings.get("model.name", named["model"] if named else "?")),
        category=category,
        include=fields.texts("include") or include_of(category),
        seed=int(seed) if seed is not None else fields.optional_integer("seed"),
        data=fields.text("data", settings.get("data.name", "") if category != "none" else ""),
        design=fields.text("design", settings.get("data.design", "natural")),
        error=fields.optional_text("error") or error,
        settings=settings,
    )


def include_of(category: str) -> tuple[str, ...]:
    """The categories behind a subset's label: `qa_ie` → qa, ie; `all` → qa, ie, gen."""
    if category == "none":
        return ()
    return tuple(category.replace("all", "qa_ie_gen").split("_"))


def _cell(fields: Fields, *, state: State, error: str | None, settings: Mapping[str, str], folder: Path | None) -> Cell:
    category = fields.text("category")
    scores = tuple(_score(score, folder=folder) for score in fields.inner_list("scores"))
    return Cell(
        run_id=fields.text("run_id"),
        state=state,
        model=fields.text("model"),
        category=category,
        include=fields.texts("include"),
        seed=None if category == "none" else fields.optional_integer("seed"),
        data=fields.text("data", settings.get("data.name", "") if category != "none" else ""),
        design=fields.text("design", settings.get("data.design", "natural")),
        error=error,
        training=_training(fields.inner("training")) if fields.value.get("training") else None,
        scores=scores,
        settings=settings,
    )


def _training(fields: Fields) -> Training:
    return Training(
        num_records=fields.integer("num_records"),
        num_tokens=fields.integer("num_tokens", 0),
        num_steps=fields.integer("num_steps", 0),
        records_per_category={k: int(v) for k, v in fields.numbers("records_per_category").items()},
    )


def _score(fields: Fields, *, folder: Path | None) -> CellScore:
    reduction = fields.text("reduction")
    if reduction not in ("mean", "micro_f1"):
        raise UserError(f"{fields.where}: reduction is {reduction!r}; allowed: mean, micro_f1")
    metrics = fields.inner("metrics")
    headline = fields.text("headline")
    if headline not in metrics.value:
        raise UserError(f"{fields.where}: headline {headline!r} is none of {', '.join(metrics.value)}")
    return CellScore(
        task=fields.text("task"),
        family=fields.text("family"),
        protocol=fields.text("protocol"),
        protocol_hash=fields.text("protocol_hash"),
        split=fields.text("split"),
        n=fields.integer("n"),
        headline=headline,
        reduction=cast(Reduction, reduction),
        parse_failure_rate=fields.number("parse_failure_rate", 0.0),
        metrics={name: _estimate(metrics.inner(name)) for name in metrics.value},
        baselines=fields.numbers("baselines"),
        items=_items_of(fields, folder=folder),
    )


def _estimate(fields: Fields) -> Estimate:
    return Estimate(
        value=fields.number("value", float("nan")),
        low=fields.number("low", float("nan")),
        high=fields.number("high", float("nan")),
        n=fields.integer("n", 0),
        signature=fields.text("signature", ""),
        standard_error=fields.optional_number("standard_error"),
    )


def _items_of(fields: Fields, *, folder: Path | None) -> Items | None:
    """The items of a score: from the row itself, or from the score file it names, if that exists."""
    if "items" in fields.value:
        return _items(fields.inner("items"))
    name = fields.optional_text("file")
    if folder is None or name is None or not (folder / name).is_file():
        return None
    score_file = Fields(read_json(folder / name), str(folder / name))
    return _items(score_file.inner("items"))


def _items(fields: Fields) -> Items:
    """Columns sorted by item id, so that cells line up whatever order they were scored in."""
    ids = fields.texts("id")
    order = sorted(range(len(ids)), key=lambda i: ids[i])

    def column(key: str) -> np.ndarray:
        values = np.asarray(fields.sequence(key) or np.zeros(len(ids)), dtype=np.float64)
        if values.shape != (len(ids),):
            raise UserError(f"{fields.where}: {key} has {values.size} values for {len(ids)} ids; score again")
        return values[order]

    return Items(
        ids=tuple(ids[i] for i in order),
        value=column("value"),
        true_positives=column("true_positives"),
        predicted=column("predicted"),
        gold=column("gold"),
    )


def _read_settings(path: Path) -> dict[str, str]:
    """Flat values of the result-changing groups of a saved config; empty where there is none."""
    if not path.is_file():
        return {}
    try:
        config = OmegaConf.to_container(OmegaConf.load(path))
    except (OmegaConfBaseException, YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a readable config ({error}); run the same command again") from error
    flat: dict[str, str] = {}
    if isinstance(config, dict):
        for group in RESULT_GROUPS:
            if group in config:
                _flatten(group, config[group], into=flat)
    return flat


def _flatten(prefix: str, value: object, *, into: dict[str, str]) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _flatten(f"{prefix}.{key}", inner, into=into)
    else:
        into[prefix] = str(value)
