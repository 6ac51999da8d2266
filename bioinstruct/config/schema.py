"""The typed schema of the commands train, evaluate and compare: one dataclass per configuration group.

Defaults live here when every option of a group shares them; what an option is about stands in its YAML file.
Ranges are checked in `bioinstruct.config.checks`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from omegaconf import MISSING

from bioinstruct.prompts import Template

# A name with its own class per group, so that a wrong value is refused at composition with the list of names.


class Dtype(Enum):
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"
    float64 = "float64"


class Quantization(Enum):
    none = "none"
    nf4 = "nf4"
    int8 = "int8"


class LoraVariant(Enum):
    lora = "lora"
    rslora = "rslora"
    dora = "dora"


class DataSource(Enum):
    file = "file"
    hub = "hub"
    tiny = "tiny"


class Schedule(Enum):
    constant = "constant"
    linear = "linear"
    cosine = "cosine"


class Optimizer(Enum):
    adamw = "adamw"
    adamw_8bit = "adamw_8bit"


class Accelerator(Enum):
    auto = "auto"
    cpu = "cpu"
    gpu = "gpu"


class Recompute(Enum):
    none = "none"
    selective = "selective"
    full = "full"


class LoggerKind(Enum):
    none = "none"
    csv = "csv"
    wandb = "wandb"
    wandb_offline = "wandb_offline"


class OnMissing(Enum):
    error = "error"
    skip = "skip"


@dataclass
class ShapeConfig:
    """Widths and layers of a LLaMA, under the names of its config.json."""

    hidden_size: int = MISSING
    intermediate_size: int = MISSING
    num_hidden_layers: int = MISSING
    num_attention_heads: int = MISSING
    num_key_value_heads: int = MISSING
    vocab_size: int = MISSING
    tie_word_embeddings: bool = False


@dataclass
class ModelConfig:
    name: str = MISSING
    """Label of the model in run ids and tables."""
    path: str = MISSING
    """Hub repository (owner/name), local folder, or builtin:tiny for the model shipped with the package."""
    revision: str | None = None
    """Commit of the Hub repository; required for a Hub repository, so that a run stays what it was."""
    dtype: Dtype = Dtype.bfloat16
    """Precision of the frozen base; adapters are always float32."""
    quantization: Quantization = Quantization.none
    """nf4 (4 bit, double quantisation) or int8 through bitsandbytes."""
    context_tokens: int = 2048
    """Longest prompt plus answer in evaluation, tokens; >= 64. Longer prompts are cut from the left, and counted."""
    shape: ShapeConfig | None = None
    """For plans without the checkpoint; null: read from its config.json."""


@dataclass
class LoraConfig:
    rank: int = MISSING
    """LoRA rank r, >= 1."""
    alpha: float = MISSING
    """Scale numerator, > 0: the update is scaled by alpha / r (rslora: alpha / sqrt(r))."""
    dropout: float = MISSING
    """Dropout before the A matrices, in [0, 1)."""
    target_modules: list[str] = MISSING
    """Names of the adapted linear layers, from q_proj k_proj v_proj o_proj gate_proj up_proj down_proj."""
    variant: LoraVariant = LoraVariant.lora
    lr_ratio: float = 1.0
    """LoRA+: learning rate of the B matrices over that of the A matrices, >= 1."""


@dataclass
class DataConfig:
    name: str = MISSING
    """Label of the instruction data in tables."""
    source: DataSource = MISSING
    path: str | None = None
    """file: JSON, JSONL or Parquet file; hub: dataset repository; tiny: unused."""
    file: str | None = None
    """hub: the data file inside the repository."""
    revision: str | None = None
    """hub: commit of the dataset repository."""
    sha256: str | None = None
    """Expected checksum of the data file; another one stops the run."""
    labels: str | None = None
    """JSON Lines file of {record, <label_field>} with the category of each record."""
    label_field: str = "category"
    validation_fraction: float = 0.05
    """Share of the records held out by content hash for the validation loss, in [0, 0.5]."""
    max_length_tokens: int = 512
    """Longest prompt plus response in training, tokens; >= 16. The response is cut, and counted."""
    num_records: int | None = None
    """Use only that many records per subset (those whose id hashes lowest); null: all."""


@dataclass
class CategoryConfig:
    include: list[str] = MISSING
    """Categories to tune on, from qa, ie, gen, other; empty: the untuned base model."""
    always: list[str] = field(default_factory=list)
    """Categories added to every tuned cell, for example [other]."""


@dataclass
class TaskOptions:
    """What one task of a suite changes; null keeps the suite's value."""

    split: str | None = None
    protocols: list[str] | None = None
    limit: int | None = None
    max_new_tokens: int | None = None
    num_shots: int | None = None


@dataclass
class TasksConfig:
    name: str = MISSING
    """Label of the suite."""
    include: dict[str, TaskOptions] = field(default_factory=dict)
    """Tasks of the suite by name."""
    split: str = "test"
    protocols: list[str] = field(default_factory=list)
    """Prompt protocols to score in; empty: the task's own."""
    limit: int | None = None
    """Items per task, >= 1: those whose id hashes lowest; null: all."""
    num_shots: int = 0
    """Solved examples shown before each question, >= 0."""
    extra_metrics: list[str] = field(default_factory=list)
    """Metrics beyond the task's own for generated notes: bertscore, bleurt, concepts, concepts:<term file>."""
    on_missing: OnMissing = OnMissing.error
    """A task whose files are missing: stop before training, or skip it and say so."""


@dataclass
class OptimConfig:
    name: Optimizer = Optimizer.adamw
    lr: float = MISSING
    """Peak learning rate, > 0."""
    schedule: Schedule = MISSING
    warmup_fraction: float = MISSING
    """Share of all steps with linearly rising learning rate, in [0, 1)."""
    epochs: int = MISSING
    """Passes over the records, >= 1."""
    records_per_step: int = MISSING
    """Records of one optimizer step, over all devices; >= 1."""
    weight_decay: float = 0.0
    """Decoupled weight decay, >= 0."""
    beta1: float = 0.9
    beta2: float = 0.999
    """Moment decay rates of Adam, in [0, 1)."""
    epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this norm; 0: never."""
    max_steps: int | None = None
    """Stop after that many optimizer steps, >= 1; null: all epochs."""
    validations_per_epoch: int = 1
    """Validation losses per epoch, >= 0."""
    patience: int | None = None
    """Early stopping: stop after that many validations without a lower loss; null: never, keep the last adapter."""


@dataclass
class TrainerConfig:
    """Execution only: nothing here changes the result beyond rounding, and nothing enters the run id."""

    accelerator: Accelerator = MISSING
    devices: int = 1
    """Processes on this node, each with its GPU or its share of the CPU; >= 1."""
    num_nodes: int = 1
    tokens_per_batch: int = MISSING
    """Padded-free tokens of one micro-batch, >= max_length_tokens of the data."""
    packing: bool = True
    """Records of a micro-batch in one row without padding; false: one padded row each."""
    recompute: Recompute = Recompute.none
    """Activation checkpointing: none; selective (half of the layers); full."""
    compile: bool = False
    """torch.compile of each decoder layer."""
    checkpoint_every_steps: int = MISSING
    """Optimizer steps between checkpoints, >= 1."""
    evaluation_tokens_per_batch: int = MISSING
    """Tokens of one batch in evaluation, >= 256."""
    threads: int | None = None
    """CPU threads; null: torch's own choice. Bit-identity on CPU holds at equal threads."""


@dataclass
class LoggerConfig:
    kind: LoggerKind = MISSING
    project: str = "bioinstruct"
    """wandb project."""
    entity: str | None = None
    """wandb entity; null: your default one."""


@dataclass
class TrainConfig:
    """Everything `bioinstruct-train` reads."""

    model: ModelConfig = MISSING
    lora: LoraConfig = MISSING
    template: Template = MISSING
    data: DataConfig = MISSING
    category: CategoryConfig = MISSING
    tasks: TasksConfig | None = None
    """Suite to evaluate on after training; null: only train."""
    optim: OptimConfig = MISSING
    trainer: TrainerConfig = MISSING
    logger: LoggerConfig = MISSING
    seed: int = 0
    """One seed for everything drawn at random, >= 0; uses are derived from it."""
    data_root: str = MISSING
    """Folder of instruction data and task files."""
    output_root: str = "outputs"
    """Folder of runs and sweeps."""
    experiment_name: str | None = None
    """Name of the chosen `experiment`, filled in at composition."""
    sweep_name: str | None = None
    """Folder below outputs/sweeps and wandb group; default <experiment>-<sweep>."""
    overwrite: bool = False
    """Do again what is already there."""
    dry_run: bool = False
    """Print the plan (steps, tokens, memory, time) and start nothing."""


@dataclass
class EvaluateConfig:
    """Everything `bioinstruct-evaluate` reads. One of run, folder and model says what is evaluated."""

    run: str | None = None
    """Run id of a tuned model; its own model, template and precision are used."""
    folder: str | None = None
    """Sweep folder: every finished cell, the base loaded once."""
    model: ModelConfig | None = None
    """A model without tuning."""
    template: Template = MISSING
    tasks: TasksConfig = MISSING
    trainer: TrainerConfig = MISSING
    logger: LoggerConfig = MISSING
    data_root: str = MISSING
    output_root: str = "outputs"
    backend: str = "hf"
    """hf: run the model; replay: score saved predictions again without a model."""
    overwrite: bool = False
    """Ask the model again instead of reusing saved predictions."""


@dataclass
class CompareConfig:
    """Everything `bioinstruct-compare` reads. One of folder and runs says what is compared."""

    folder: str | None = None
    """Sweep folder."""
    runs: list[str] = field(default_factory=list)
    """Run ids."""
    output: str | None = None
    """Folder of the report; default: the sweep folder, or outputs/comparisons/<ids>."""
    data_root: str = MISSING
    output_root: str = "outputs"
