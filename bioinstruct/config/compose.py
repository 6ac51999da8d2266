"""Between Hydra and plain dataclasses: schemas in the ConfigStore, composed config in, checked dataclass out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TypeVar, cast

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bioinstruct.categories import canonical, subset_label
from bioinstruct.config.building import CategorizeConfig, DescribeConfig, GenerateConfig
from bioinstruct.config.checks import check_config
from bioinstruct.config.export import ChatConfig, ExportConfig
from bioinstruct.config.schema import CategoryConfig, CompareConfig, EvaluateConfig, TrainConfig
from bioinstruct.errors import UserError
from bioinstruct.runs import check_name, write_atomic

Schema = TypeVar("Schema")

SCHEMAS: dict[str, type] = {
    "train_schema": TrainConfig,
    "evaluate_schema": EvaluateConfig,
    "compare_schema": CompareConfig,
    "generate_schema": GenerateConfig,
    "categorize_schema": CategorizeConfig,
    "describe_schema": DescribeConfig,
    "export_schema": ExportConfig,
    "chat_schema": ChatConfig,
}


def register_schemas() -> None:
    """Puts the schemas into Hydra's ConfigStore and the resolvers into OmegaConf; called before @hydra.main."""
    store = ConfigStore.instance()
    for name, schema in SCHEMAS.items():
        store.store(name=name, node=schema)
    OmegaConf.register_new_resolver("sweep_folder", sweep_folder, replace=True)


def sweep_folder(sweep_name: str | None, experiment: str | None, sweep: str | None) -> str:
    """Folder name of a multirun: `sweep_name` if given, else <experiment>-<sweep> of what was chosen.

    Hydra resolves it before any code of ours runs and would print a traceback, so a bad name ends the program.
    """
    chosen = [part for part in (experiment, sweep) if part and part != "null"]
    try:
        return check_name(sweep_name or "-".join(chosen) or "multirun", key="sweep_name")
    except UserError as error:
        sys.exit(f"error: {error}")


def effective_include(category: CategoryConfig) -> tuple[str, ...]:
    """The categories a cell is tuned on: `include` and `always`; none for the untuned base."""
    return canonical([*category.include, *category.always]) if category.include else ()


def category_label(category: CategoryConfig) -> str:
    """none, qa, qa_ie, …, all, all_other."""
    return subset_label(effective_include(category))


def typed_config(config: DictConfig, schema: type[Schema]) -> Schema:
    """The composed config as a checked dataclass.

    Merged once more into a fresh schema: a key added with `+` would otherwise slip past it. Raises UserError
    for an unknown key, a missing value, a wrong type or a value out of range.
    """
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True, enum_to_str=True)
        merged = OmegaConf.merge(OmegaConf.structured(schema), OmegaConf.create(cast(dict[str, object], plain)))
        typed = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        key = f" (key {error.full_key})" if error.full_key else ""
        raise UserError(f"configuration: {str(error).splitlines()[0]}{key}. See --cfg job for all keys") from error
    check_config(typed)
    return cast(Schema, typed)


def save_config(config: object, path: Path) -> None:
    """Writes a typed config as YAML, atomically."""
    write_atomic(path, OmegaConf.to_yaml(OmegaConf.structured(config)))


def load_train_config(path: Path) -> TrainConfig:
    """The typed config of a run folder or of a cell."""
    return typed_config(cast(DictConfig, OmegaConf.load(path)), TrainConfig)
