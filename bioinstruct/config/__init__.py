"""Typed configuration: schema, checks, and the way between Hydra and plain dataclasses. Never imports torch."""

from __future__ import annotations

from bioinstruct.config.compose import (
    effective_include,
    load_train_config,
    register_schemas,
    save_config,
    typed_config,
)
from bioinstruct.config.schema import (
    CategoryConfig,
    CompareConfig,
    DataConfig,
    EvaluateConfig,
    LoggerConfig,
    LoraConfig,
    ModelConfig,
    OptimConfig,
    TaskOptions,
    TasksConfig,
    TrainConfig,
    TrainerConfig,
)

__all__ = [
    "CategoryConfig",
    "CompareConfig",
    "DataConfig",
    "EvaluateConfig",
    "LoggerConfig",
    "LoraConfig",
    "ModelConfig",
    "OptimConfig",
    "TaskOptions",
    "TasksConfig",
    "TrainConfig",
    "TrainerConfig",
    "effective_include",
    "load_train_config",
    "register_schemas",
    "save_config",
    "typed_config",
]
