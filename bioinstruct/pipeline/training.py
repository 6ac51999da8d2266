"""Tuning one cell: plan, model, loop, adapter; resumes at any step."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from peft import PeftModel
from pytorch_lightning import Trainer
from pytorch_lightning.plugins.environments import LightningEnvironment
from safetensors.torch import load_file

from bioinstruct.attention import ATTENTION_NAME, register_attention
from bioinstruct.batching import PlannedStep, plan_steps
from bioinstruct.checkpoints import (
    Checkpoint,
    load_newest_checkpoint,
    remove_leftovers,
    save_checkpoint,
    whole_folder,
)
from bioinstruct.config import TrainConfig
from bioinstruct.corpus import Corpus
from bioinstruct.curves import append_curve, curve_columns, start_curve
from bioinstruct.datamodule import InstructionDataModule
from bioinstruct.distributed import Place, barrier
from bioinstruct.model import adapter_parameters, add_lora, load_base
from bioinstruct.randomness import derive_seed
from bioinstruct.recompute import checkpoint_layers
from bioinstruct.runs import RunFolder
from bioinstruct.signals import StopSignals
from bioinstruct.tracking import Tracker
from bioinstruct.tuner import LoraTuner, Progress, Row, Schedules, TrainingHooks

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """How a training ended."""

    finished: bool
    """False: a signal asked to leave; a checkpoint is written."""
    progress: Progress
    num_steps: int


def train_adapter(
    config: TrainConfig, corpus: Corpus, *, folder: RunFolder, place: Place, tracker: Tracker
) -> TrainingResult:
    """Tunes the adapter of a cell and leaves it in the run folder; continues from the newest checkpoint."""
    if place.rank == 0:
        for path in (folder.checkpoints, folder.path):
            remove_leftovers(path)
    barrier()
    steps = plan_cell(config, corpus)
    resume = load_newest_checkpoint(folder.checkpoints)
    first_step = resume.next_step if resume else 0
    if resume:
        logger.info("resuming at step %d of %d", first_step, len(steps))
    model = prepare_model(config, device=place.device)
    data = InstructionDataModule(
        corpus,
        steps,
        trainer=config.trainer,
        first_step=first_step,
        rank=place.rank,
        world_size=place.world_size,
    )
    stop = StopSignals()
    tuner = LoraTuner(
        model,
        optim=config.optim,
        lora=config.lora,
        schedules=make_schedules(config, steps),
        seed=config.seed,
        categories=corpus.categories,
        validation=data.validation_batches(),
        hooks=_hooks(config, corpus, model, folder=folder, place=place, tracker=tracker, stop=stop, first=first_step),
        resume_from=resume,
    )
    if first_step < len(steps):
        _fit(tuner, data, place)
        stop.disarm()
    else:
        tuner.progress = Progress(**resume.progress)  # type: ignore[union-attr]
    if tuner.was_interrupted:
        return TrainingResult(False, tuner.progress, len(steps))
    if place.rank == 0:
        _keep_adapters(config, model, folder)
    barrier()
    return TrainingResult(True, tuner.progress, len(steps))


def plan_cell(config: TrainConfig, corpus: Corpus) -> list[PlannedStep]:
    """The optimizer steps of a cell."""
    return plan_steps(
        len(corpus.training),
        records_per_step=config.optim.records_per_step,
        epochs=config.optim.epochs,
        seed=config.seed,
        max_steps=config.optim.max_steps,
    )


def prepare_model(config: TrainConfig, *, device: torch.device) -> PeftModel:
    """The base with fresh adapters, packed attention and the configured recomputation."""
    register_attention()
    base = load_base(config.model, device=device)
    base.set_attn_implementation(ATTENTION_NAME)
    model = add_lora(base, config.lora, seed=derive_seed(config.seed, "adapter"))
    checkpoint_layers(model, config.trainer.recompute)
    if config.trainer.compile:
        for layer in model.get_base_model().model.layers:
            layer.compile()
    return model


def make_schedules(config: TrainConfig, steps: Sequence[PlannedStep]) -> Schedules:
    """When to validate (evenly through each epoch, and at the end) and to write checkpoints."""
    num, optim = len(steps), config.optim
    validate: set[int] = set()
    if optim.validations_per_epoch and config.data.validation_fraction:
        for epoch in range(steps[-1].epoch + 1):
            members = [s.step for s in steps if s.epoch == epoch]
            for part in range(1, optim.validations_per_epoch + 1):
                validate.add(members[max(len(members) * part // optim.validations_per_epoch - 1, 0)])
        validate.add(num - 1)
    return Schedules(num, frozenset(validate), config.trainer.checkpoint_every_steps)


def _hooks(
    config: TrainConfig,
    corpus: Corpus,
    model: PeftModel,
    *,
    folder: RunFolder,
    place: Place,
    tracker: Tracker,
    stop: StopSignals,
    first: int,
) -> TrainingHooks:
    """What happens on rank 0 with rows, checkpoints and the best adapter; nothing on the others."""
    columns = curve_columns(corpus.categories)
    is_first = place.rank == 0
    if is_first and tracker.keeps_curve:
        start_curve(folder.metrics_file, columns, next_step=first)

    def on_row(row: Row) -> None:
        if is_first and tracker.keeps_curve:
            append_curve(folder.metrics_file, columns, row)
            tracker.log_row(row)
        if is_first:
            logger.info(
                "step %d  loss %.4f  lr %.2e  %.0f tokens/s",
                row["step"],
                row["loss"],
                row["lr"],
                row["tokens_per_second"],
            )

    def on_checkpoint(checkpoint: Checkpoint) -> None:
        if is_first:
            save_checkpoint(folder.checkpoints, checkpoint)

    def on_best() -> None:
        if is_first and config.optim.patience is not None:
            save_adapter(model, folder, name="adapter_best", base_path=config.model.path)

    return TrainingHooks(
        on_row=on_row, on_checkpoint=on_checkpoint, on_best=on_best, on_start=stop.arm, should_stop=stop.received
    )


def _fit(tuner: LoraTuner, data: InstructionDataModule, place: Place) -> None:
    """One pass of Lightning's loop over the steps that are left; ranks and resume are our own."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)  # Lightning sets INFO when it is imported
    trainer = Trainer(
        accelerator="gpu" if place.device.type == "cuda" else "cpu",
        devices=[place.device.index] if place.device.type == "cuda" else 1,
        plugins=[LightningEnvironment()],
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=place.rank == 0 and sys.stderr.isatty(),
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(tuner, datamodule=data)


def save_adapter(model: PeftModel, folder: RunFolder, *, name: str, base_path: str) -> None:
    """Writes an adapter in PEFT's layout (safetensors), as a whole folder or not at all."""
    for peft_config in model.peft_config.values():
        peft_config.base_model_name_or_path = base_path
    with whole_folder(folder.path / name) as temporary:
        model.save_pretrained(str(temporary), save_embedding_layers=False)


def _keep_adapters(config: TrainConfig, model: PeftModel, folder: RunFolder) -> None:
    """Makes the run's adapter: the last one, or with early stopping the best one beside the last."""
    best = folder.path / "adapter_best"
    if config.optim.patience is not None and best.is_dir():
        save_adapter(model, folder, name="adapter_last", base_path=config.model.path)
        saved = load_file(best / "adapter_model.safetensors")
        parameters = adapter_parameters(model)
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(saved[name.replace(".default.", ".")])
        save_adapter(model, folder, name="adapter", base_path=config.model.path)
        shutil.rmtree(best)
    else:
        save_adapter(model, folder, name="adapter", base_path=config.model.path)
