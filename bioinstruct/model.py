"""LLaMA with LoRA: loading the frozen base, putting adapters on it, reading and writing them."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import LoraConfig as PeftLoraConfig
from peft import PeftModel, get_peft_model
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils.logging import disable_progress_bar

from bioinstruct.config import LoraConfig, ModelConfig
from bioinstruct.config.schema import LoraVariant, Quantization
from bioinstruct.errors import PrerequisiteError, UserError
from bioinstruct.fused_lora import fuse_lora

BUILTIN_TINY = "builtin:tiny"
SAMPLE_BYTES = 1 << 20


def model_path(model: ModelConfig) -> str:
    """Folder or Hub repository of the model; PrerequisiteError for a folder that is not there."""
    if model.path == BUILTIN_TINY:
        from bioinstruct.tiny import MODEL_FOLDER

        return str(MODEL_FOLDER)
    path = Path(model.path).expanduser()
    if path.is_dir():
        return str(path)
    if path.is_absolute() or model.path.startswith((".", "~")) or model.path.count("/") != 1:
        raise PrerequisiteError(f"model.path={model.path}: no such folder. Give one with config.json, or owner/name")
    if model.revision is None:
        raise UserError(f"model.path={model.path} is a Hub repository and model.revision is not set; pin a commit")
    return model.path


def model_identity(model: ModelConfig) -> str:
    """What identifies the base's content: Hub name and commit, or a hash of a folder's files.

    Of files above 64 MiB only size, first and last MiB enter (safetensors keep their index in front).
    """
    path = model_path(model)
    if not Path(path).is_dir():
        return f"{path}@{model.revision}"
    digest = hashlib.sha256()
    for file in sorted(Path(path).glob("*")):
        if file.suffix in {".json", ".safetensors", ".model"} and file.name != "recipe.json":
            digest.update(f"{file.name}\x1f{file.stat().st_size}\x1f".encode())
            digest.update(_file_sample(file))
    return digest.hexdigest()


def _file_sample(file: Path) -> bytes:
    if file.stat().st_size <= 64 * SAMPLE_BYTES:
        return file.read_bytes()
    with file.open("rb") as handle:
        first = handle.read(SAMPLE_BYTES)
        handle.seek(-SAMPLE_BYTES, 2)
        return first + handle.read()


def load_tokenizer(model: ModelConfig) -> PreTrainedTokenizerBase:
    """The model's own tokenizer; PrerequisiteError if it cannot be had."""
    with _clear_message(model):
        return AutoTokenizer.from_pretrained(model_path(model), revision=model.revision, trust_remote_code=False)


def load_base(model: ModelConfig, *, device: torch.device) -> PreTrainedModel:
    """The frozen base on `device`, in eval mode, in its configured precision.

    Raises PrerequisiteError with the three ways out when the checkpoint is gated, missing or unreachable.
    """
    if not sys.stderr.isatty():
        disable_progress_bar()
    with _clear_message(model):
        base = AutoModelForCausalLM.from_pretrained(
            model_path(model),
            revision=model.revision,
            dtype=getattr(torch, model.dtype.value),
            quantization_config=_quantization(model),
            device_map={"": device} if model.quantization is not Quantization.none else None,
            use_safetensors=True,
            trust_remote_code=False,
        )
    if base.config.model_type != "llama":
        raise UserError(f"model.path={model.path} is a {base.config.model_type!r} model; only llama is supported")
    base.requires_grad_(False)
    if model.quantization is Quantization.none:
        base.to(device)
    base.config.use_cache = False
    return base.eval()


def load_shape(model: ModelConfig) -> AutoConfig:
    """The model's configuration (widths, layers, vocabulary) without its weights."""
    with _clear_message(model):
        return AutoConfig.from_pretrained(model_path(model), revision=model.revision, trust_remote_code=False)


def _quantization(model: ModelConfig) -> BitsAndBytesConfig | None:
    compute = getattr(torch, model.dtype.value)
    match model.quantization:
        case Quantization.nf4:
            return BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=compute,
            )
        case Quantization.int8:
            return BitsAndBytesConfig(load_in_8bit=True)
    return None


@contextmanager
def _clear_message(model: ModelConfig) -> Iterator[None]:
    """Turns the loader's errors for a missing or gated checkpoint into one message with the ways to get it."""
    try:
        yield
    except OSError as error:
        cause = str(error).strip().splitlines()[0]
        where = model.path + (f" (revision {model.revision})" if model.revision else "")
        raise PrerequisiteError(
            f"model {model.name}: cannot load {where}: {cause} Three ways: accept the licence on its Hub page and "
            "`hf auth login`; model=local model.path=<folder with the checkpoint>; another model=<option>"
        ) from error


def add_lora(base: PreTrainedModel, lora: LoraConfig, *, seed: int) -> PeftModel:
    """The base with fresh float32 adapters (A random from `seed`, B zero), in training mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = get_peft_model(base, _peft_config(lora))
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            if "lora_" not in name:
                raise RuntimeError(f"{name} is trainable and no adapter")
            if parameter.dtype is not torch.float64:
                parameter.data = parameter.data.float()
    fuse_lora(model)
    # Lightning and from_pretrained leave modules in eval mode, where checkpointing silently does nothing.
    return model.train()


def _peft_config(lora: LoraConfig) -> PeftLoraConfig:
    return PeftLoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.target_modules),
        use_rslora=lora.variant is LoraVariant.rslora,
        use_dora=lora.variant is LoraVariant.dora,
        bias="none",
        task_type="CAUSAL_LM",
    )


def load_adapter(base: PreTrainedModel, folder: Path) -> PeftModel:
    """The base with a saved adapter on it, for inference; every adapter weight was found, or UserError."""
    try:
        model = PeftModel.from_pretrained(base, str(folder), is_trainable=False, use_safetensors=True)
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"adapter {folder} cannot be loaded: {error}. Train again with overwrite=true") from error
    fuse_lora(model)
    return model.eval()


def adapter_parameters(model: PeftModel) -> dict[str, torch.nn.Parameter]:
    """The trainable parameters by name, in a fixed order."""
    return {name: p for name, p in sorted(model.named_parameters()) if p.requires_grad}
