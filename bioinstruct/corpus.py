"""The instruction data of a cell: read, labelled, selected, split and encoded, with everything counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from bioinstruct.batching import EncodedRecord
from bioinstruct.categories import CATEGORIES
from bioinstruct.config import DataConfig
from bioinstruct.config.schema import DataSource
from bioinstruct.encoding import encode_pair
from bioinstruct.errors import PrerequisiteError, UserError
from bioinstruct.prompts import Template, render_prompt
from bioinstruct.records import (
    Record,
    RecordSet,
    apply_labels,
    build_record_set,
    read_records,
    select_categories,
    split_validation,
)

UNLABELLED = "unlabelled"


@dataclass(frozen=True)
class CategoryCount:
    """What one category brings to training."""

    num_records: int = 0
    num_tokens: int = 0
    num_response_tokens: int = 0


@dataclass(frozen=True)
class Corpus:
    """Encoded records of one cell, sorted by record id."""

    training: tuple[EncodedRecord, ...]
    validation: tuple[EncodedRecord, ...]
    categories: tuple[str, ...]
    """Categories that occur, in the order of CATEGORIES."""
    num_cut: int
    """Records whose response was cut at max_length_tokens."""
    num_dropped: int
    """Records whose prompt alone fills max_length_tokens: no response token is left, so they are left out."""

    def counts(self) -> dict[str, CategoryCount]:
        """Training records and tokens per category."""
        return {
            category: CategoryCount(
                num_records=len(chosen),
                num_tokens=sum(r.num_tokens for r in chosen),
                num_response_tokens=sum(r.num_response_tokens for r in chosen),
            )
            for category in self.categories
            for chosen in [[r for r in self.training if r.category == category]]
        }


def load_record_set(data: DataConfig) -> RecordSet:
    """The record set a data configuration names, with its labels where it has any."""
    match data.source:
        case DataSource.tiny:
            from bioinstruct.tiny import tiny_records

            records = build_record_set(tiny_records(), source="the invented formulary")
        case DataSource.hub:
            records = read_records(_download(data), sha256=data.sha256)
        case DataSource.file:
            records = read_records(Path(str(data.path)).expanduser(), sha256=data.sha256)
    if data.labels is not None:
        records = apply_labels(records, Path(data.labels).expanduser(), field=data.label_field)
    return records


def _download(data: DataConfig) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(str(data.path), str(data.file), repo_type="dataset", revision=data.revision))
    except (OSError, ValueError) as error:
        raise PrerequisiteError(
            f"data {data.path} ({data.file}, revision {data.revision}): {str(error).splitlines()[0]} "
            "Get the file where there is a network, then data=local data.path=<file>"
        ) from error


def select_records(
    records: RecordSet, *, include: Sequence[str], num_records: int | None, validation_fraction: float
) -> tuple[list[Record], list[Record]]:
    """(training, validation) records of a subset, sorted by record id; neither depends on the file's order."""
    chosen = sorted(select_categories(records.records, include), key=lambda r: r.record_id)
    training, validation = split_validation(chosen, validation_fraction)
    if num_records is not None:
        if num_records > len(training):
            raise UserError(f"data.num_records={num_records}: only {len(training)} training records in this subset")
        # Record ids are hashes: the highest ones are a random sample that grows with num_records.
        training = training[-num_records:]
    return training, validation


def encode_records(
    records: Sequence[Record], *, tokenizer: PreTrainedTokenizerBase, template: Template, max_length_tokens: int
) -> tuple[list[EncodedRecord], int, int]:
    """(encoded records, number cut, number dropped); see Corpus for what is cut and dropped."""
    encoded: list[EncodedRecord] = []
    num_cut = num_dropped = 0
    for record in records:
        prompt = render_prompt(template, instruction=record.instruction, input_text=record.input)
        pair = encode_pair(tokenizer, prompt, record.output)
        ids = (*pair.context, *pair.continuation, int(tokenizer.eos_token_id))
        if len(pair.context) >= max_length_tokens:
            num_dropped += 1
            continue
        num_cut += len(ids) > max_length_tokens
        encoded.append(
            EncodedRecord(record.record_id, record.category or UNLABELLED, ids[:max_length_tokens], len(pair.context))
        )
    return encoded, num_cut, num_dropped


def build_corpus(
    training: Sequence[Record],
    validation: Sequence[Record],
    *,
    tokenizer: PreTrainedTokenizerBase,
    template: Template,
    max_length_tokens: int,
) -> Corpus:
    """The encoded corpus; UserError when no training record has a response token left."""
    if tokenizer.eos_token_id is None:
        raise UserError("the model's tokenizer has no EOS token; a tuned model could not learn to end its answers")
    encode = {"tokenizer": tokenizer, "template": template, "max_length_tokens": max_length_tokens}
    kept, num_cut, num_dropped = encode_records(training, **encode)
    held_out, _, _ = encode_records(validation, **encode)
    if not kept:
        raise UserError(
            f"data.max_length_tokens={max_length_tokens} leaves no response token in any of {len(training)} training "
            "records; raise it"
        )
    present = {record.category for record in (*kept, *held_out)}
    categories = tuple(name for name in (*CATEGORIES, UNLABELLED) if name in present)
    return Corpus(tuple(kept), tuple(held_out), categories, num_cut, num_dropped)
