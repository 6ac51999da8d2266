"""Exporting a tuned run: its adapter as a PEFT folder, its merged model, both with a model card, both to the Hub."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import torch
from huggingface_hub import HfApi
from huggingface_hub.errors import HFValidationError, HTTPError
from peft import PeftModel
from transformers import PreTrainedModel

from bioinstruct.checkpoints import remove_leftovers, whole_folder
from bioinstruct.config import ModelConfig, TrainConfig, load_train_config
from bioinstruct.config.compose import category_label
from bioinstruct.config.export import ExportConfig
from bioinstruct.config.schema import Quantization
from bioinstruct.distributed import choose_device
from bioinstruct.encoding import encode_text
from bioinstruct.errors import PrerequisiteError, UserError
from bioinstruct.model import load_adapter, load_base, load_tokenizer, model_path
from bioinstruct.pipeline.model_card import CardNames, MergeCheck, make_model_card
from bioinstruct.prompts import render_prompt
from bioinstruct.runs import RunFolder, find_run, lock_run, read_json, write_atomic, write_json

logger = logging.getLogger(__name__)

PROBES = (
    ("Which vitamin is missing in scurvy?", ""),
    ("List the medications.", "Aspirin 81 mg daily; metformin was stopped in May because of nausea."),
    ("Write one sentence for a patient about high blood pressure.", ""),
)
"""(instruction, input) of the prompts on which a merge is checked; ours."""


def export_run(config: ExportConfig) -> list[Path]:
    """Writes what was asked for below <output_root>/exports/<run_id> and returns the folders.

    Raises UserError for a run that has no adapter, PrerequisiteError for one that is not trained and for a Hub
    that cannot be reached.
    """
    assert config.run is not None  # held by the checks of ExportConfig
    if config.trainer.threads is not None:
        torch.set_num_threads(config.trainer.threads)
    folder = find_run(Path(config.output_root), config.run)
    cell = load_train_config(folder.config_file)
    if category_label(cell.category) == "none":
        raise UserError(
            f"run={folder.run_id} is the untuned model and has no adapter; export a tuned run, or use "
            f"{cell.model.path} as it is"
        )
    require_trained(folder)
    base, base_is_hub = _base_name(cell.model, config)
    target = Path(config.output_root) / "exports" / folder.run_id
    repositories = _make_repositories(config)
    with lock_run(folder):
        remove_leftovers(target)
        written = [target / "adapter"]
        names = CardNames(base, base_is_hub, here=config.push_to_hub or "adapter")
        _write_adapter(cell, folder, written[0], names)
        if config.merge:
            written.append(target / "merged")
            here = f"{config.push_to_hub}-merged" if config.push_to_hub else "merged"
            _write_merged(cell, folder, written[1], replace(names, here=here), device=choose_device(config.trainer))
    for path, repository in zip(written, repositories, strict=False):
        _upload(path, repository)
    return written


def require_trained(folder: RunFolder) -> None:
    """Raises PrerequisiteError for a tuned run without its final adapter."""
    if not folder.is_trained():
        raise PrerequisiteError(
            f"run={folder.run_id} is not trained to its end; run its bioinstruct-train command again"
        )


def _base_name(model: ModelConfig, config: ExportConfig) -> tuple[str, bool]:
    """(name of the base in the adapter, whether it is a Hub repository).

    A model on the Hub that names a folder of this machine as its base would be of use to nobody.
    """
    path = model_path(model)
    is_folder = Path(path).is_dir()
    if config.base_model is not None:
        return config.base_model, True
    if is_folder and config.push_to_hub is not None:
        raise UserError(
            f"push_to_hub={config.push_to_hub}: the run was tuned on the local folder {path}; "
            "give base_model=<owner/name>, the Hub repository with the same weights"
        )
    return (str(Path(path).resolve()), False) if is_folder else (path, True)


def _write_adapter(cell: TrainConfig, folder: RunFolder, final: Path, names: CardNames) -> None:
    """The run's weights as they are; the base is named so that PEFT finds it from anywhere."""
    settings = read_json(folder.adapter / "adapter_config.json")
    settings["base_model_name_or_path"] = names.base
    settings["revision"] = cell.model.revision if names.base == cell.model.path else None
    settings["target_modules"] = [*sorted(cell.lora.target_modules)]  # PEFT writes a set, in any order
    with whole_folder(final) as temporary:
        shutil.copyfile(folder.adapter / "adapter_model.safetensors", temporary / "adapter_model.safetensors")
        write_json(temporary / "adapter_config.json", settings)
        write_atomic(temporary / "README.md", make_model_card(cell, folder, names))


def _write_merged(cell: TrainConfig, folder: RunFolder, final: Path, names: CardNames, *, device: torch.device) -> None:
    """A model of its own: weights, tokenizer and card."""
    merged, check = merge_adapter(cell, folder, device=device)
    logger.info("merged: %s", check)
    merged.config.use_cache = True
    tokenizer = load_tokenizer(cell.model)
    tokenizer.chat_template = None  # the base's would ask the model in a format it was not tuned on
    with whole_folder(final) as temporary:
        merged.save_pretrained(temporary)
        for file in temporary.glob("*.safetensors"):
            file.chmod(0o644)  # written for the owner alone; a server often runs as another user
        tokenizer.save_pretrained(temporary)
        write_atomic(temporary / "README.md", make_model_card(cell, folder, names, merged=check))


def merge_adapter(cell: TrainConfig, folder: RunFolder, *, device: torch.device) -> tuple[PreTrainedModel, MergeCheck]:
    """The base with the run's adapter in its weights, and how far its logits are from the tuned model's.

    Adapters are never merged into quantised weights: those are loaded unquantised, in the run's dtype. Raises
    UserError where a merged logit is not finite.
    """
    tuned_logits = None
    if cell.model.quantization is not Quantization.none:
        tuned_logits = _probe(load_adapter(load_base(cell.model, device=device), folder.adapter), cell)
    unquantised = replace(cell.model, quantization=Quantization.none)
    model = load_adapter(load_base(unquantised, device=device), folder.adapter)
    adapted_logits = _probe(model, cell)
    # Without `safe_merge` the float32 change is added to a bfloat16 weight in one rounding; with it in two.
    merged: PreTrainedModel = model.merge_and_unload()
    logits = _probe(merged, cell)
    if not logits.isfinite().all():
        raise UserError(f"{folder.run_id}: the merged model's logits are not finite in {cell.model.dtype.value}")
    reference = adapted_logits if tuned_logits is None else tuned_logits
    check = MergeCheck(
        largest_change=_largest_change(adapted_logits, logits),
        largest_change_of_tuned=None if tuned_logits is None else _largest_change(tuned_logits, logits),
        largest_logit=float(logits.abs().max()),
        num_positions=len(logits),
        num_same_token=int((reference.argmax(-1) == logits.argmax(-1)).sum()),
    )
    return merged, check


@torch.no_grad()
def _probe(model: PreTrainedModel | PeftModel, cell: TrainConfig) -> torch.Tensor:
    """Logits at every position of the probe prompts, (positions, vocabulary) in float32 on the CPU."""
    tokenizer = load_tokenizer(cell.model)
    rows = []
    for instruction, input_text in PROBES:
        prompt = render_prompt(cell.template, instruction=instruction, input_text=input_text)
        ids = torch.tensor([encode_text(tokenizer, prompt)], device=model.device)  # (1, T)
        rows.append(model(input_ids=ids).logits[0].float().cpu())  # (T, V)
    return torch.cat(rows)


def _largest_change(before: torch.Tensor, after: torch.Tensor) -> float:
    return float((after - before).abs().max())


def _make_repositories(config: ExportConfig) -> list[str]:
    """The Hub repositories to fill, made first: a missing right shows before the work."""
    if config.push_to_hub is None:
        return []
    names = [config.push_to_hub, *([f"{config.push_to_hub}-merged"] if config.merge else [])]
    for name in names:
        try:
            HfApi().create_repo(name, private=config.private, exist_ok=True)
        except (HTTPError, HFValidationError, OSError) as error:
            raise _hub_error(name, error) from error
    return names


def _upload(folder: Path, repository: str) -> None:
    try:
        HfApi().upload_folder(
            repo_id=repository, folder_path=folder, commit_message=f"{folder.parent.name}: {folder.name}"
        )
    except (HTTPError, HFValidationError, OSError) as error:
        raise _hub_error(repository, error) from error
    logger.info("%s: pushed to https://huggingface.co/%s", folder, repository)


def _hub_error(repository: str, error: Exception) -> PrerequisiteError:
    cause = (str(error).strip() or type(error).__name__).splitlines()[0]
    return PrerequisiteError(
        f"push_to_hub={repository}: {cause.rstrip('.')}. Log in with `hf auth login` and a token that may write there, "
        "or leave push_to_hub out and upload the folder later"
    )
