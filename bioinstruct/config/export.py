"""The typed schema of the commands export and chat."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING

from bioinstruct.config.schema import ModelConfig, TrainerConfig
from bioinstruct.prompts import Template


@dataclass
class ExportConfig:
    """Everything `bioinstruct-export` reads."""

    run: str | None = None
    """Run id of a tuned model."""
    merge: bool = False
    """Also write a standalone model with the adapter merged into its weights."""
    base_model: str | None = None
    """Hub repository (owner/name) to name as the base, for a run tuned on a local folder of the same weights;
    null: what the run was tuned on."""
    push_to_hub: str | None = None
    """Hub repository (owner/name) for the adapter; the merged model goes to <owner/name>-merged. null: stay here."""
    private: bool = True
    """Whether a repository that is made by push_to_hub is private."""
    trainer: TrainerConfig = MISSING
    """Only the device and the threads count."""
    data_root: str = MISSING
    output_root: str = "outputs"


@dataclass
class ChatConfig:
    """Everything `bioinstruct-chat` reads. One of run and model says who answers."""

    run: str | None = None
    """Run id of a tuned model; its own model, template and precision are used."""
    model: ModelConfig | None = None
    """A model without tuning."""
    template: Template = MISSING
    compare_base: bool = True
    """With run: also show what the same base answers without the adapter."""
    temperature: float = 0.0
    """0: the most likely answer (greedy); above: drawn at random, the more freely the higher."""
    max_new_tokens: int = 256
    """Longest answer, tokens, >= 1."""
    seed: int = 0
    """Seed of drawn answers, >= 0."""
    trainer: TrainerConfig = MISSING
    """Only the device, the threads and evaluation_tokens_per_batch count."""
    data_root: str = MISSING
    output_root: str = "outputs"
