"""What a cell is: its run id from everything that changes the result, and what is still to do."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from bioinstruct.batching import plan_steps
from bioinstruct.config import TasksConfig, TrainConfig, effective_include
from bioinstruct.config.compose import category_label
from bioinstruct.corpus import Corpus, build_corpus, load_record_set, select_records
from bioinstruct.model import load_tokenizer, model_identity
from bioinstruct.records import Record, RecordSet
from bioinstruct.runs import JsonValue, RunFolder, make_run_id, read_json

State = Literal["done", "trained", "interrupted", "new"]


@dataclass(frozen=True)
class CellPlan:
    """What a cell would do, found out without loading the model."""

    run_id: str
    label: str
    """Category subset: none, qa, qa_ie, …"""
    state: State
    num_tokens: int
    """Real training tokens over all epochs."""
    num_response_tokens: int
    num_steps: int
    folder: Path


def identify(config: TrainConfig) -> RunFolder:
    """The run folder of a configuration; the same result lands in the same folder."""
    model = config.model
    identity: dict[str, JsonValue] = {
        "model": model_identity(model),
        "dtype": model.dtype.value,
        "quantization": model.quantization.value,
        "context_tokens": model.context_tokens,
        "template": [config.template.with_input, config.template.without_input, *config.template.stop],
    }
    label = category_label(config.category)
    seed = None
    if label != "none":
        records = record_set(config)
        seed = config.seed
        identity |= {
            "records": records.content_hash,
            "labels": records.label_hash,
            "include": list(effective_include(config.category)),
            "validation_fraction": config.data.validation_fraction,
            "max_length_tokens": config.data.max_length_tokens,
            "num_records": config.data.num_records,
            "lora": _plain(config.lora),
            "optim": _plain(config.optim),
            "seed": seed,
        }
    run_id = make_run_id(model.name, label, seed, identity)
    return RunFolder(Path(config.output_root) / "train" / run_id)


def _plain(group: object) -> JsonValue:
    values: JsonValue = json.loads(json.dumps(asdict(group), default=lambda value: value.value))  # type: ignore[call-overload]
    return values


_record_sets: dict[str, RecordSet] = {}


def record_set(config: TrainConfig) -> RecordSet:
    """The records of a configuration; a process that plans a grid reads each source once."""
    key = json.dumps(_plain(config.data), sort_keys=True)
    if key not in _record_sets:
        _record_sets[key] = load_record_set(config.data)
    return _record_sets[key]


def cell_records(config: TrainConfig) -> tuple[list[Record], list[Record]]:
    """(training, validation) records of a tuned cell."""
    return select_records(
        record_set(config),
        include=effective_include(config.category),
        num_records=config.data.num_records,
        validation_fraction=config.data.validation_fraction,
    )


def cell_corpus(config: TrainConfig) -> Corpus:
    """The encoded records of a tuned cell."""
    training, validation = cell_records(config)
    return build_corpus(
        training,
        validation,
        tokenizer=load_tokenizer(config.model),
        template=config.template,
        max_length_tokens=config.data.max_length_tokens,
    )


def describe_cell(config: TrainConfig) -> CellPlan:
    """The plan of a cell: reads and encodes its records, loads no model and starts nothing."""
    folder = identify(config)
    label = category_label(config.category)
    num_tokens = num_response_tokens = num_steps = 0
    if label != "none":
        corpus = cell_corpus(config)
        steps = plan_steps(
            len(corpus.training),
            records_per_step=config.optim.records_per_step,
            epochs=config.optim.epochs,
            seed=config.seed,
            max_steps=config.optim.max_steps,
        )
        chosen = [corpus.training[index] for step in steps for index in step.records]
        num_tokens = sum(record.num_tokens for record in chosen)
        num_response_tokens = sum(record.num_response_tokens for record in chosen)
        num_steps = len(steps)
    return CellPlan(
        run_id=folder.run_id,
        label=label,
        state=cell_state(config, folder),
        num_tokens=num_tokens,
        num_response_tokens=num_response_tokens,
        num_steps=num_steps,
        folder=folder.path,
    )


def cell_state(config: TrainConfig, folder: RunFolder) -> State:
    """What a run folder holds already."""
    tuned = category_label(config.category) != "none"
    if tuned and not folder.is_trained():
        return "interrupted" if any(folder.checkpoints.glob("step-*")) else "new"
    if config.tasks is None or suite_key(config.tasks) in finished_suites(folder):
        return "done" if tuned or config.tasks is not None else "new"
    return "trained" if tuned else "new"


def suite_key(tasks: TasksConfig) -> str:
    """Identity of a suite with its limits and protocols."""
    return hashlib.sha256(json.dumps(_plain(tasks), sort_keys=True).encode()).hexdigest()[:12]


def finished_suites(folder: RunFolder) -> list[str]:
    """Keys of the suites a run has been scored on completely."""
    if not folder.state_file.is_file():
        return []
    suites = read_json(folder.state_file).get("suites")
    return [str(key) for key in suites] if isinstance(suites, list) else []


def adapter_fingerprint(config: TrainConfig, folder: RunFolder, *, tuned: bool) -> str:
    """Identity of what answers: base, precision and adapter content."""
    digest = hashlib.sha256(f"{model_identity(config.model)}{config.model.dtype.value}".encode())
    digest.update(config.model.quantization.value.encode())
    if tuned:
        digest.update((folder.adapter / "adapter_model.safetensors").read_bytes())
        digest.update((folder.adapter / "adapter_config.json").read_bytes())
    return digest.hexdigest()[:16]
