"""wandb as a mirror of the run folder; the only file that imports wandb."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bioinstruct.config import LoggerConfig
from bioinstruct.config.schema import LoggerKind
from bioinstruct.errors import PrerequisiteError
from bioinstruct.runs import JsonValue

if TYPE_CHECKING:
    import wandb


@dataclass(frozen=True)
class RunLabels:
    """How a run is found in wandb."""

    run_id: str
    group: str | None
    tags: tuple[str, ...]
    """Model, category subset, suite."""
    config: Mapping[str, JsonValue]
    """The typed configuration, flat: `optim.lr` → value."""
    job_type: str = "cell"


@dataclass
class Tracker:
    """Where metrics go besides the log."""

    kind: LoggerKind
    run: wandb.Run | None = field(default=None, repr=False)

    @property
    def keeps_curve(self) -> bool:
        """Whether metrics.csv is written."""
        return self.kind is not LoggerKind.none

    def log_row(self, row: Mapping[str, float]) -> None:
        """Mirrors the metrics of one optimizer step."""
        if self.run is not None:
            self.run.log({f"train/{key}": value for key, value in row.items()}, step=int(row["step"]))

    def log_summary(self, summary: Mapping[str, float | str]) -> None:
        """Mirrors final values, such as eval/<family>/<task>/<metric>."""
        if self.run is not None:
            self.run.summary.update(dict(summary))


@contextmanager
def track(settings: LoggerConfig, labels: RunLabels, *, folder: Path, is_first: bool = True) -> Iterator[Tracker]:
    """A tracker for one run; a wandb run is finished with its exit code whatever happens.

    `wandb_offline` mirrors nothing while the run goes on: offline runs cannot be resumed, and two of one id
    overwrite each other, so `write_offline_run` writes one from the run folder at the end.
    """
    tracker = Tracker(settings.kind)
    if settings.kind is not LoggerKind.wandb or not is_first:
        yield tracker
        return
    tracker.run = _start(settings, labels, folder=folder, mode="online")
    exit_code = 1
    try:
        yield tracker
        exit_code = 0
    finally:
        tracker.run.finish(exit_code=exit_code)


def write_offline_run(
    settings: LoggerConfig,
    labels: RunLabels,
    *,
    folder: Path,
    curve: Path,
    summary: Mapping[str, float | str],
) -> None:
    """Writes one offline wandb run from the run folder, replacing an earlier one of this run."""
    for old in (folder / "wandb").glob("offline-run-*"):
        shutil.rmtree(old)
    run = _start(settings, labels, folder=folder, mode="offline")
    if curve.is_file():
        with curve.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                values = {f"train/{key}": float(value) for key, value in row.items() if value}
                run.log(values, step=int(row["step"]))
    run.summary.update(dict(summary))
    run.finish(exit_code=0)


def _start(settings: LoggerConfig, labels: RunLabels, *, folder: Path, mode: str) -> wandb.Run:
    import wandb

    try:
        return wandb.init(
            project=settings.project,
            entity=settings.entity,
            id=labels.run_id,
            name=labels.run_id,
            resume="allow" if mode == "online" else None,
            group=labels.group,
            job_type=labels.job_type,
            tags=[tag[:64] for tag in labels.tags],
            config=dict(labels.config),
            dir=str(folder),
            mode=mode,  # type: ignore[arg-type]
            settings=wandb.Settings(console="off", silent=True),
        )
    except (wandb.errors.UsageError, wandb.errors.CommError) as error:
        raise PrerequisiteError(
            f"wandb: {error} Log in with `wandb login`, or use logger=wandb_offline or logger=csv"
        ) from error
