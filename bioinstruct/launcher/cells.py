"""The cells of a sweep: composed through Hydra, checked all together, each run once."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, cast

from hydra.core.hydra_config import HydraConfig
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from bioinstruct.config import TrainConfig, save_config, typed_config
from bioinstruct.errors import UserError
from bioinstruct.launcher.lineage import PARENT_VARIABLE
from bioinstruct.runs import read_json

Planned = Literal["done", "trained", "interrupted", "new"]


@dataclass(frozen=True)
class Draft:
    """A composed cell before it is known which run it is."""

    overrides: tuple[str, ...]
    config: TrainConfig


@dataclass(frozen=True)
class CellPlan:
    """What `pipeline` says of a cell before it starts."""

    run_id: str
    state: Planned
    num_tokens: int
    """Real training tokens over all epochs."""
    num_steps: int
    folder: Path
    memory_bytes: int | None = None
    """Predicted peak memory of training on each device; None for an untuned cell or an unknown shape."""


@dataclass(frozen=True)
class Cell:
    """One cell of the sweep: one run, started at most once."""

    label: str
    """What tells it apart from the other cells, such as category=qa,seed=0; a file name."""
    overrides: tuple[str, ...]
    config: TrainConfig
    plan: CellPlan

    @property
    def run_id(self) -> str:
        return self.plan.run_id

    @property
    def is_done(self) -> bool:
        return self.plan.state == "done" and not self.config.overwrite


def compose_drafts(
    hydra_context: HydraContext,
    config: DictConfig,
    *,
    job_overrides: Sequence[Sequence[str]],
    sweep_name: str,
) -> list[Draft]:
    """The typed configs of a multirun's jobs, in order. Raises one UserError with every job's error."""
    drafts: list[Draft] = []
    errors: list[tuple[tuple[str, ...], str]] = []
    for index, overrides in enumerate(job_overrides):
        composed = hydra_context.config_loader.load_sweep_config(config, list(overrides))
        with open_dict(composed):
            composed.hydra.job.id = str(index)
            composed.hydra.job.num = index
        HydraConfig.instance().set_config(composed)
        plain = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
        try:
            typed = typed_config(plain, TrainConfig)
        except UserError as error:
            errors.append((tuple(overrides), str(error)))
            continue
        typed.sweep_name = sweep_name
        drafts.append(Draft(tuple(overrides), typed))
    HydraConfig.instance().set_config(config)
    raise_errors(errors, all_overrides=job_overrides)
    return drafts


def raise_errors(errors: Sequence[tuple[tuple[str, ...], str]], *, all_overrides: Sequence[Sequence[str]]) -> None:
    """Raises one UserError for (overrides, message) pairs, equal messages named once; nothing for none."""
    if not errors:
        return
    shared = agreed(all_overrides)
    cells_of: dict[str, list[str]] = {}
    for overrides, message in errors:
        varied = " ".join(override for override in overrides if override not in shared)
        cells_of.setdefault(message, []).append(varied or "the only cell")
    lines = [f"{len(errors)} of {len(all_overrides)} cells cannot run, so none was started:"]
    for message, cells in cells_of.items():
        shown = "; ".join(cells[:3]) + (f"; and {len(cells) - 3} more" if len(cells) > 3 else "")
        lines.append(f"  {message} [{shown}]")
    raise UserError("\n".join(lines))


def plan_drafts(drafts: Sequence[Draft]) -> list[CellPlan]:
    """The plan of each draft, from a process that may import torch; the launcher itself never does.

    Raises UserError with every cell's error in one message.
    """
    with tempfile.TemporaryDirectory(prefix="bioinstruct-plan-") as folder:
        files = [Path(folder) / f"{index}.yaml" for index in range(len(drafts))]
        for file, draft in zip(files, drafts, strict=True):
            save_config(draft.config, file)
        answer = Path(folder) / "plans.json"
        command = [sys.executable, "-m", "bioinstruct.launcher.describe", str(answer), *map(str, files)]
        environment = {**os.environ, PARENT_VARIABLE: str(os.getpid())}
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, env=environment, check=False)
        if ended.returncode != 0:
            raise UserError(
                f"the cells could not be planned (exit code {ended.returncode}, see above); none was started"
            )
        entries = cast(list[dict[str, str | int | None]], read_json(answer)["plans"])
    errors = [
        (draft.overrides, str(entry["error"])) for draft, entry in zip(drafts, entries, strict=True) if "error" in entry
    ]
    raise_errors(errors, all_overrides=[draft.overrides for draft in drafts])
    return [plan_from_json(entry) for entry in entries]


def plan_to_json(plan: CellPlan) -> dict[str, str | int | None]:
    """A plan as the planning process hands it to the launcher."""
    return {**asdict(plan), "folder": str(plan.folder)}


def plan_from_json(entry: Mapping[str, str | int | None]) -> CellPlan:
    """The plan in an answer of the planning process."""
    memory = entry["memory_bytes"]
    return CellPlan(
        run_id=str(entry["run_id"]),
        state=cast(Planned, entry["state"]),
        num_tokens=int(str(entry["num_tokens"])),
        num_steps=int(str(entry["num_steps"])),
        folder=Path(str(entry["folder"])),
        memory_bytes=None if memory is None else int(memory),
    )


def unique_cells(drafts: Sequence[Draft], plans: Sequence[CellPlan]) -> list[Cell]:
    """One cell per run: drafts that differ only in what does not change the result are one cell.

    Its overrides are those its drafts agree on, and its label those of them that other cells do not share.
    Raises UserError where one run is asked for two suites.
    """
    groups: dict[str, list[tuple[Draft, CellPlan]]] = {}
    for draft, plan in zip(drafts, plans, strict=True):
        groups.setdefault(plan.run_id, []).append((draft, plan))
    shared = agreed([draft.overrides for draft in drafts]) if len(groups) > 1 else ()
    cells = []
    for run_id, members in groups.items():
        first, plan = members[0]
        if any(draft.config.tasks != first.config.tasks for draft, _ in members):
            raise UserError(
                f"two cells are the same run {run_id} with different tasks; tasks cannot be swept: "
                "put both into one suite, or run the sweep twice"
            )
        overrides = agreed([draft.overrides for draft, _ in members])
        varied = [override for override in overrides if override not in shared]
        label = file_label(",".join(varied)) if len(groups) > 1 else ""
        cells.append(Cell(label or run_id, overrides, first.config, plan))
    return _with_unique_labels(cells)


def agreed(overrides: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """The overrides that all of several jobs have, in the order of the first."""
    first, *others = list(overrides)
    return tuple(override for override in first if all(override in other for other in others))


def file_label(text: str) -> str:
    """The text as a file name: other characters become _, the end is cut."""
    return "".join(char if char.isalnum() or char in "._=,-+" else "_" for char in text)[:120]


def _with_unique_labels(cells: Sequence[Cell]) -> list[Cell]:
    labels = [cell.label for cell in cells]
    return [
        cell if labels.count(cell.label) == 1 else replace(cell, label=f"{cell.label}-{cell.run_id[-8:]}")
        for cell in cells
    ]
