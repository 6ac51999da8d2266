"""Scoring models on task suites: a tuned run, an untuned model, or every cell of a sweep."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from bioinstruct.config import EvaluateConfig, ModelConfig, TaskOptions, TasksConfig, TrainConfig, load_train_config
from bioinstruct.config.compose import category_label
from bioinstruct.config.schema import CategoryConfig, OnMissing, TrainerConfig
from bioinstruct.distributed import choose_device
from bioinstruct.errors import PrerequisiteError, UserError
from bioinstruct.generation import HfBackend
from bioinstruct.model import load_adapter, load_base, load_tokenizer
from bioinstruct.pipeline.identity import adapter_fingerprint, identify, suite_key
from bioinstruct.pipeline.results import finish_suite, start_run
from bioinstruct.prompts import Template
from bioinstruct.runs import RunFolder, find_run
from bioinstruct.scoring import evaluate_task, missing_files, replay_task
from bioinstruct.tasks import get_task
from bioinstruct.tasks.base import Backend, Generation, LogLikelihood, Score, Task

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TaskRun:
    """One task of a suite under one protocol, with the suite's settings filled in."""

    task: Task
    split: str
    protocol: str
    limit: int | None
    num_shots: int
    max_new_tokens: int


class LazyBackend:
    """A backend whose model is loaded at the first question: finished suites cost no load."""

    def __init__(self, fingerprint: str, load: Callable[[], Backend]) -> None:
        self.fingerprint = fingerprint
        self._load = load
        self._backend: Backend | None = None

    def _loaded(self) -> Backend:
        if self._backend is None:
            self._backend = self._load()
        return self._backend

    def loglikelihood(self, pairs: Sequence[tuple[str, str]]) -> list[LogLikelihood]:
        """See Backend."""
        return self._loaded().loglikelihood(pairs)

    def generate(self, prompts: Sequence[str], *, max_new_tokens: int, stop: Sequence[str]) -> list[Generation]:
        """See Backend."""
        return self._loaded().generate(prompts, max_new_tokens=max_new_tokens, stop=stop)


def select_tasks(tasks: TasksConfig, *, root: Path) -> list[TaskRun]:
    """The task runs of a suite whose files are there.

    Missing files raise PrerequisiteError, or with tasks.on_missing=skip are listed with the way to get them.
    Raises UserError for an unknown task, split or protocol.
    """
    chosen: list[TaskRun] = []
    skipped: list[str] = []
    for name, options in tasks.include.items():
        task = get_task(name)
        split = options.split or tasks.split
        if split not in task.splits:
            raise UserError(f"task {name} has no split {split!r}; its splits: {', '.join(task.splits)}")
        missing = missing_files(task, root, split)
        if missing:
            skipped.append(f"{name} ({split}): {', '.join(str(path) for path in missing)}. {task.how_to_get}")
            continue
        chosen.extend(_task_runs(task, split, options, tasks))
    if skipped and tasks.on_missing is OnMissing.error:
        listed = "\n  ".join(skipped)
        raise PrerequisiteError(f"task files are missing below {root}; get them, or tasks.on_missing=skip:\n  {listed}")
    for line in skipped:
        logger.warning("skipped: %s", line)
    if not chosen:
        raise PrerequisiteError(
            f"no task of suite {tasks.name} can be scored below {root}; set BIOINSTRUCT_DATA or data_root"
        )
    return chosen


def _task_runs(task: Task, split: str, options: TaskOptions, tasks: TasksConfig) -> Iterator[TaskRun]:
    known = (*task.protocols, *task.further_protocols)
    unknown = [protocol for protocol in options.protocols or [] if protocol not in known]
    if unknown:
        raise UserError(f"task {task.name} has no protocol {unknown[0]!r}; its protocols: {', '.join(known)}")
    # A protocol asked of a whole suite goes to the tasks that have it; the others keep their own.
    shared = [protocol for protocol in tasks.protocols if protocol in known]
    for protocol in options.protocols or shared or task.protocols:
        yield TaskRun(
            task=task,
            split=split,
            protocol=protocol,
            limit=options.limit or tasks.limit,
            num_shots=tasks.num_shots if options.num_shots is None else options.num_shots,
            max_new_tokens=options.max_new_tokens or task.new_tokens(protocol),
        )


def score_tasks(
    backend: Backend | None,
    runs: Sequence[TaskRun],
    *,
    root: Path,
    template: Template,
    folder: Path,
    fingerprint: str,
    extra_metrics: Sequence[str] = (),
) -> list[Score]:
    """The scores of a suite, one after the other; without a backend, from saved predictions."""
    scores = []
    for run in runs:
        common = {
            "root": root,
            "split": run.split,
            "protocol": run.protocol,
            "template": template,
            "limit": run.limit,
            "num_shots": run.num_shots,
            "max_new_tokens": run.max_new_tokens,
            "folder": folder,
            "extra_metrics": extra_metrics,
        }
        if backend is None:
            score = replay_task(run.task, fingerprint=fingerprint, **common)  # type: ignore[arg-type]
        else:
            score = evaluate_task(backend, run.task, **common)  # type: ignore[arg-type]
        headline = score.metrics[score.headline]
        logger.info(
            "%s (%s, %s): %s %.3f [%.3f, %.3f], n = %d, parse failures %.1f %%",
            score.task,
            score.protocol,
            score.split,
            score.headline,
            headline.value,
            headline.low,
            headline.high,
            score.n,
            100 * score.parse_failure_rate,
        )
        scores.append(score)
    return scores


def evaluate_cell(
    config: TrainConfig,
    folder: RunFolder,
    *,
    trainer: TrainerConfig,
    tasks: TasksConfig,
    root: Path,
    replay: bool = False,
    overwrite: bool = False,
    shared: SharedBase | None = None,
) -> list[Score]:
    """Scores the model of a run on a suite and writes the run's results.json."""
    runs = select_tasks(tasks, root=root)
    tuned = category_label(config.category) != "none"
    fingerprint = adapter_fingerprint(config, folder, tuned=tuned)
    if overwrite:
        for run in runs:
            for file in folder.evaluations.glob(f"{run.task.name}-*"):
                file.unlink()
    base = shared or SharedBase()
    backend = None if replay else LazyBackend(fingerprint, lambda: base.backend(config, folder, trainer))
    scores = score_tasks(
        backend,
        runs,
        root=root,
        template=config.template,
        folder=folder.evaluations,
        fingerprint=fingerprint,
        extra_metrics=tasks.extra_metrics,
    )
    finish_suite(folder, suite=suite_key(tasks))
    return scores


class SharedBase:
    """Holds one base model, so that the adapters of a sweep are put on it one after the other."""

    def __init__(self) -> None:
        self._loaded: ModelConfig | None = None
        self._base: PreTrainedModel | None = None
        self._adapted: PeftModel | None = None

    def backend(self, config: TrainConfig, folder: RunFolder, trainer: TrainerConfig) -> HfBackend:
        """The model of a run, with its adapter where it is tuned, ready to answer; ends an earlier backend's use."""
        if self._adapted is not None:
            self._base, self._adapted = self._adapted.unload(), None
        if self._loaded != config.model:
            self._base = None  # freed before the next one is loaded
            self._base, self._loaded = load_base(config.model, device=choose_device(trainer)), config.model
        tuned = category_label(config.category) != "none"
        if tuned:
            self._adapted = load_adapter(self._base, folder.adapter)
        return HfBackend(
            self._adapted or self._base,
            load_tokenizer(config.model),
            fingerprint=adapter_fingerprint(config, folder, tuned=tuned),
            max_length_tokens=config.model.context_tokens,
            batch_tokens=trainer.evaluation_tokens_per_batch,
        )


def evaluate_from_config(config: EvaluateConfig) -> list[RunFolder]:
    """Evaluates what the configuration names; returns the run folders, whose results.json is up to date."""
    root = Path(config.data_root)
    if config.trainer.threads is not None:
        torch.set_num_threads(config.trainer.threads)
    cells = list(_named_cells(config))
    shared = SharedBase()
    for cell, folder in cells:
        logger.info("evaluating %s on suite %s", folder.run_id, config.tasks.name)
        start_run(cell, folder)
        evaluate_cell(
            cell,
            folder,
            trainer=config.trainer,
            tasks=config.tasks,
            root=root,
            replay=config.backend == "replay",
            overwrite=config.overwrite,
            shared=shared,
        )
    return [folder for _, folder in cells]


def _named_cells(config: EvaluateConfig) -> Iterator[tuple[TrainConfig, RunFolder]]:
    output_root = Path(config.output_root)
    if config.run is not None:
        folder = find_run(output_root, config.run)
        yield load_train_config(folder.config_file), folder
    elif config.folder is not None:
        from bioinstruct.analysis import load_sweep

        for cell in load_sweep(Path(config.folder), output_root / "train"):
            if cell.state == "done" or (output_root / "train" / cell.run_id / "adapter").is_dir():
                folder = find_run(output_root, cell.run_id)
                yield load_train_config(folder.config_file), folder
    else:
        base = base_config(config)
        yield base, identify(base)


def base_config(config: EvaluateConfig) -> TrainConfig:
    """The configuration of an untuned model as a cell `none`."""
    assert config.model is not None  # held by the checks of EvaluateConfig
    return TrainConfig(
        model=config.model,
        template=config.template,
        category=CategoryConfig(include=[]),
        tasks=config.tasks,
        trainer=config.trainer,
        logger=config.logger,
        data_root=config.data_root,
        output_root=config.output_root,
    )
