"""Ranges and relations that types cannot say; every message names the key, the value and what is allowed."""

from __future__ import annotations

import re

from bioinstruct.categories import canonical
from bioinstruct.config.export import ChatConfig, ExportConfig
from bioinstruct.config.schema import (
    CompareConfig,
    DataSource,
    EvaluateConfig,
    LoraVariant,
    TasksConfig,
    TrainConfig,
    TrainerConfig,
)
from bioinstruct.errors import UserError
from bioinstruct.prompts import check_template
from bioinstruct.runs import check_name

TARGET_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
BACKENDS = ("hf", "replay")
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def check_config(config: object) -> None:
    """Raises UserError for the first value out of range in a typed config of any command."""
    match config:
        case TrainConfig():
            _check_train(config)
        case EvaluateConfig():
            _check_evaluate(config)
        case CompareConfig():
            _check_compare(config)
        case ExportConfig():
            _check_export(config)
        case ChatConfig():
            _check_chat(config)


def in_range(
    key: str,
    value: float | None,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> None:
    """Raises UserError unless low <= value <= high and above < value < below; None (not set) is fine."""
    if value is None:
        return
    bounds = [
        (low is not None and not value >= low, f">= {low}"),
        (high is not None and not value <= high, f"<= {high}"),
        (above is not None and not value > above, f"> {above}"),
        (below is not None and not value < below, f"< {below}"),
    ]
    for broken, allowed in bounds:
        if broken:
            raise UserError(f"{key}={value} is out of range; allowed: {allowed}")


def one_of(key: str, value: str, known: tuple[str, ...]) -> None:
    """Raises UserError unless the value is among the known ones."""
    if value not in known:
        raise UserError(f"{key}={value!r} is unknown; known: {', '.join(known)}")


def _check_train(config: TrainConfig) -> None:
    check_name(config.model.name, key="model.name")
    check_template(config.template)
    in_range("seed", config.seed, low=0, below=2**32)
    in_range("model.context_tokens", config.model.context_tokens, low=64)
    canonical(config.category.include)
    canonical(config.category.always)
    _check_lora(config)
    _check_data(config)
    _check_optim(config)
    check_trainer(config.trainer)
    if config.trainer.tokens_per_batch < config.data.max_length_tokens:
        raise UserError(
            f"trainer.tokens_per_batch={config.trainer.tokens_per_batch} is below "
            f"data.max_length_tokens={config.data.max_length_tokens}: a record would not fit; raise it"
        )
    if config.tasks is not None:
        check_tasks(config.tasks)
    if config.sweep_name is not None:
        check_name(config.sweep_name, key="sweep_name")


def _check_lora(config: TrainConfig) -> None:
    lora = config.lora
    in_range("lora.rank", lora.rank, low=1)
    in_range("lora.alpha", lora.alpha, above=0)
    in_range("lora.dropout", lora.dropout, low=0, below=1)
    in_range("lora.lr_ratio", lora.lr_ratio, low=1)
    if not lora.target_modules:
        raise UserError(f"lora.target_modules is empty; allowed: {', '.join(TARGET_MODULES)}")
    for name in lora.target_modules:
        one_of("lora.target_modules", name, TARGET_MODULES)
    if lora.variant is LoraVariant.dora and config.model.quantization.value == "int8":
        raise UserError("lora.variant=dora does not work with model.quantization=int8; use nf4 or none")


def _check_data(config: TrainConfig) -> None:
    data = config.data
    in_range("data.validation_fraction", data.validation_fraction, low=0, high=0.5)
    in_range("data.max_length_tokens", data.max_length_tokens, low=16)
    in_range("data.num_records", data.num_records, low=1)
    if data.source is not DataSource.tiny and not data.path:
        raise UserError(f"data.path is not set, and data.source={data.source.value} needs it; set data.path")
    if data.source is DataSource.hub and not (data.revision and data.file):
        raise UserError("data.source=hub needs data.revision (a commit) and data.file, so that a run stays what it was")


def _check_optim(config: TrainConfig) -> None:
    optim = config.optim
    in_range("optim.lr", optim.lr, above=0)
    in_range("optim.warmup_fraction", optim.warmup_fraction, low=0, below=1)
    in_range("optim.epochs", optim.epochs, low=1)
    in_range("optim.records_per_step", optim.records_per_step, low=1)
    in_range("optim.weight_decay", optim.weight_decay, low=0)
    in_range("optim.beta1", optim.beta1, low=0, below=1)
    in_range("optim.beta2", optim.beta2, low=0, below=1)
    in_range("optim.epsilon", optim.epsilon, above=0)
    in_range("optim.max_grad_norm", optim.max_grad_norm, low=0)
    in_range("optim.max_steps", optim.max_steps, low=1)
    in_range("optim.validations_per_epoch", optim.validations_per_epoch, low=0)
    in_range("optim.patience", optim.patience, low=1)
    if optim.patience is not None and (optim.validations_per_epoch == 0 or config.data.validation_fraction == 0):
        raise UserError(
            f"optim.patience={optim.patience} needs a validation loss: set optim.validations_per_epoch and "
            "data.validation_fraction above 0"
        )


def check_trainer(trainer: TrainerConfig) -> None:
    """Raises UserError for an execution setting out of range."""
    in_range("trainer.devices", trainer.devices, low=1)
    in_range("trainer.num_nodes", trainer.num_nodes, low=1)
    in_range("trainer.tokens_per_batch", trainer.tokens_per_batch, low=16)
    in_range("trainer.checkpoint_every_steps", trainer.checkpoint_every_steps, low=1)
    in_range("trainer.evaluation_tokens_per_batch", trainer.evaluation_tokens_per_batch, low=256)
    in_range("trainer.threads", trainer.threads, low=1)


def check_tasks(tasks: TasksConfig) -> None:
    """Raises UserError for a suite without tasks or with a limit out of range; names are checked by the table."""
    if not tasks.include:
        raise UserError(f"tasks.include of suite {tasks.name!r} is empty; name at least one task")
    in_range("tasks.limit", tasks.limit, low=1)
    in_range("tasks.num_shots", tasks.num_shots, low=0)
    for name, options in tasks.include.items():
        in_range(f"tasks.include.{name}.limit", options.limit, low=1)
        in_range(f"tasks.include.{name}.max_new_tokens", options.max_new_tokens, low=1)
        in_range(f"tasks.include.{name}.num_shots", options.num_shots, low=0)


def _check_evaluate(config: EvaluateConfig) -> None:
    given = {"run": config.run, "folder": config.folder, "model": config.model}
    named = [key for key, value in given.items() if value is not None]
    if len(named) != 1:
        raise UserError(
            f"{' and '.join(named) or 'nothing'} given; give exactly one of run=<run_id>, folder=<sweep folder>, "
            "model=<option>"
        )
    if config.run is not None:
        check_name(config.run, key="run")
    if config.model is not None:
        check_name(config.model.name, key="model.name")
    check_template(config.template)
    check_tasks(config.tasks)
    check_trainer(config.trainer)
    one_of("backend", config.backend, BACKENDS)


def _check_compare(config: CompareConfig) -> None:
    if bool(config.folder) == bool(config.runs):
        raise UserError("give exactly one of folder=<sweep folder> and runs=[<run_id>,<run_id>]")
    for run in config.runs:
        check_name(run, key="runs")


def _check_export(config: ExportConfig) -> None:
    if config.run is None:
        raise UserError("run is not set; give run=<run_id> of a tuned model")
    check_name(config.run, key="run")
    for key, value in (("base_model", config.base_model), ("push_to_hub", config.push_to_hub)):
        if value is not None and not HUB_NAME.fullmatch(value):
            raise UserError(f"{key}={value!r} is no Hub repository; write <owner>/<name>")
    check_trainer(config.trainer)


def _check_chat(config: ChatConfig) -> None:
    if (config.run is None) == (config.model is None):
        raise UserError("give exactly one of run=<run_id> and model=<option>")
    if config.run is not None:
        check_name(config.run, key="run")
    check_template(config.template)
    in_range("temperature", config.temperature, low=0)
    in_range("max_new_tokens", config.max_new_tokens, low=1)
    in_range("seed", config.seed, low=0, below=2**32)
    check_trainer(config.trainer)
