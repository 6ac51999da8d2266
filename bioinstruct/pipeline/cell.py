"""One cell of the study: tune if needed, evaluate what is missing, leave a complete run folder."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from bioinstruct.config import TrainConfig, save_config
from bioinstruct.config.compose import category_label
from bioinstruct.config.schema import LoggerKind
from bioinstruct.corpus import Corpus
from bioinstruct.distributed import Place, process_group
from bioinstruct.errors import UserError
from bioinstruct.model import load_tokenizer
from bioinstruct.pipeline.evaluation import evaluate_cell, select_tasks
from bioinstruct.pipeline.identity import cell_corpus, cell_state, identify, record_set
from bioinstruct.pipeline.results import (
    describe_training,
    flat_config,
    results_summary,
    start_run,
    update_run,
)
from bioinstruct.pipeline.training import train_adapter
from bioinstruct.runs import JsonValue, RunFolder, lock_run
from bioinstruct.signals import EXIT_INTERRUPTED, StopSignals
from bioinstruct.tracking import RunLabels, Tracker, track, write_offline_run

logger = logging.getLogger(__name__)


def run_cell(config: TrainConfig) -> Path:
    """Does what is missing of a cell and returns its folder; nothing missing: one line.

    Raises UserError and PrerequisiteError before anything is written where the configuration cannot work.
    """
    if config.trainer.threads is not None:
        torch.set_num_threads(config.trainer.threads)
    torch.set_flush_denormal(True)  # without it, some CPU runs fall to a tenth of their speed
    if config.tasks is not None:
        select_tasks(config.tasks, root=Path(config.data_root))
    folder = identify(config)
    if cell_state(config, folder) == "done" and not config.overwrite:
        logger.info("%s: nothing to do (overwrite=true does it again); %s", folder.run_id, folder.path)
        return folder.path
    if _needs_torchrun(config):
        return _run_ranks(config, folder)
    with process_group(config.trainer) as place, lock_run(folder, enabled=place.rank == 0):
        if config.overwrite and place.rank == 0 and folder.path.is_dir():
            shutil.rmtree(folder.path)
        _run_here(config, folder, place)
    return folder.path


def _run_here(config: TrainConfig, folder: RunFolder, place: Place) -> None:
    tuned = category_label(config.category) != "none"
    corpus = cell_corpus(config) if tuned and not folder.is_trained() else None
    if place.rank == 0:
        start_run(config, folder)
    labels = _labels(config, folder)
    with (
        _log_file(folder, enabled=place.rank == 0),
        _failure_noted(folder, enabled=place.rank == 0),
        track(config.logger, labels, folder=folder.path, is_first=place.rank == 0) as tracker,
    ):
        if corpus is not None:
            _train(config, corpus, folder=folder, place=place, tracker=tracker)
        if place.rank == 0 and config.tasks is not None:
            root = Path(config.data_root)
            evaluate_cell(config, folder, trainer=config.trainer, tasks=config.tasks, root=root)
        if place.rank == 0:
            tracker.log_summary(results_summary(folder))
            if config.logger.kind is LoggerKind.wandb_offline:
                write_offline_run(
                    config.logger,
                    labels,
                    folder=folder.path,
                    curve=folder.metrics_file,
                    summary=results_summary(folder),
                )
            logger.info("%s: done; %s", folder.run_id, folder.path)


def _train(config: TrainConfig, corpus: Corpus, *, folder: RunFolder, place: Place, tracker: Tracker) -> None:
    if place.rank == 0:
        records = record_set(config)
        hashes: dict[str, JsonValue] = {"data_hash": records.content_hash, "label_hash": records.label_hash}
        update_run(folder, {"status": "training", "training": describe_training(corpus), **hashes})
        show_corpus(config, corpus)
    result = train_adapter(config, corpus, folder=folder, place=place, tracker=tracker)
    progress = result.progress
    if place.rank == 0:
        state = "trained" if result.finished else "interrupted"
        speed = progress.num_tokens / progress.seconds if progress.seconds else None
        counts = {**describe_training(corpus), "num_steps": result.num_steps}
        update_run(folder, {"status": state, "training": counts, "tokens_per_second": speed})
    if not result.finished:
        logger.info("stopped by a signal after step %d; the same command goes on", progress.next_step - 1)
        sys.exit(EXIT_INTERRUPTED)


def show_corpus(config: TrainConfig, corpus: Corpus) -> None:
    """Logs counts per category and one decoded example with its mask."""
    records = record_set(config)
    logger.info(
        "%s: %d records, %d inputs normalised to empty, %d duplicates dropped, %d without label; "
        "%d responses cut at %d tokens, %d dropped",
        records.source,
        len(records.records),
        records.num_normalised_inputs,
        records.num_duplicates,
        records.num_unlabelled,
        corpus.num_cut,
        config.data.max_length_tokens,
        corpus.num_dropped,
    )
    table = Table(title="training data", show_footer=True)
    counts = corpus.counts()
    table.add_column("category", footer="all")
    for name in ("num_records", "num_tokens", "num_response_tokens"):
        total = sum(getattr(count, name) for count in counts.values())
        table.add_column(name.removeprefix("num_").replace("_", " "), justify="right", footer=f"{total:,}")
    for name, count in counts.items():
        table.add_row(name, f"{count.num_records:,}", f"{count.num_tokens:,}", f"{count.num_response_tokens:,}")
    console = Console(width=100)
    with console.capture() as capture:
        console.print(table)
    logger.info("%s", capture.get().rstrip())
    example = min(corpus.training, key=lambda record: record.num_tokens)
    tokenizer = load_tokenizer(config.model)
    ids = list(example.input_ids)
    logger.info(
        "shortest example %s, without loss: %r, with loss: %r",
        example.record_id,
        tokenizer.decode(ids[: example.prompt_length]),
        tokenizer.decode(ids[example.prompt_length :]),
    )


def _labels(config: TrainConfig, folder: RunFolder) -> RunLabels:
    suite = config.tasks.name if config.tasks else "no suite"
    return RunLabels(
        run_id=folder.run_id,
        group=config.sweep_name or config.experiment_name,
        tags=(config.model.name, category_label(config.category), suite),
        config=flat_config(config),
    )


@contextmanager
def _log_file(folder: RunFolder, *, enabled: bool) -> Iterator[None]:
    """Appends the log to the run's train.log."""
    if not enabled:
        yield
        return
    handler = logging.FileHandler(folder.log_file, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


@contextmanager
def _failure_noted(folder: RunFolder, *, enabled: bool) -> Iterator[None]:
    """Notes in run.json how a run failed; the error goes on."""
    try:
        yield
    except Exception as error:
        if enabled:
            update_run(folder, {"status": "failed", "error": f"{type(error).__name__}: {error}"})
        raise


def _needs_torchrun(config: TrainConfig) -> bool:
    return config.trainer.devices > 1 and "LOCAL_RANK" not in os.environ


def _run_ranks(config: TrainConfig, folder: RunFolder) -> Path:
    """Starts one process per device through torchrun, hands stop signals on, and waits for all of them."""
    from bioinstruct.launcher.cell import torchrun_command

    with tempfile.TemporaryDirectory() as temporary:
        request = Path(temporary) / "cell.yaml"
        save_config(config, request)
        process = subprocess.Popen(torchrun_command(request, num_devices=config.trainer.devices))
        stop = StopSignals(process.terminate)  # torchrun passes a SIGTERM on to its ranks, and no other signal
        stop.arm()
        try:
            code = process.wait()
        finally:
            stop.disarm()
    if stop.received():
        sys.exit(EXIT_INTERRUPTED)
    if code != 0:
        raise UserError(f"{folder.run_id}: a rank ended with exit code {code}; see {folder.log_file}")
    return folder.path
