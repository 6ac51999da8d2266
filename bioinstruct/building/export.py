"""Records as JSON, JSON Lines, Parquet, or a folder that the Hub takes as a dataset, with its card."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import yaml

from bioinstruct.building.datasheet import Datasheet, example_records, to_markdown
from bioinstruct.config.building import ExportFormat
from bioinstruct.records import FIELDS, Record
from bioinstruct.runs import write_atomic

HUB_FOLDER = "hub"
HUB_DATA = "data/train-00000-of-00001.parquet"
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
"""The Hub's size categories (huggingface.co/docs/hub/datasets-cards)."""


def to_rows(records: Sequence[Record]) -> list[dict[str, str]]:
    """The fields of the records, with the category where every record has one."""
    labelled = all(record.category is not None for record in records)
    names = (*FIELDS, "category") if labelled else FIELDS
    return [{name: str(getattr(record, name)) for name in names} for record in records]


def export(records: Sequence[Record], formats: Sequence[ExportFormat], *, folder: Path, card: str) -> list[Path]:
    """Writes the records in each format into the folder; the files written."""
    rows = to_rows(records)
    written: list[Path] = []
    for kind in formats:
        match kind:
            case ExportFormat.json:
                path, content = folder / "records.json", json.dumps(rows, ensure_ascii=False, indent=1).encode()
            case ExportFormat.jsonl:
                path = folder / "records.jsonl"
                content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
            case ExportFormat.parquet:
                path, content = folder / "records.parquet", _to_parquet(rows)
            case ExportFormat.hub:
                path, content = folder / HUB_FOLDER / HUB_DATA, _to_parquet(rows)
                write_atomic(folder / HUB_FOLDER / "README.md", card)
        write_atomic(path, content)
        written.append(path)
    return written


def _to_parquet(rows: list[dict[str, str]]) -> bytes:
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    buffer = io.BytesIO()
    Dataset.from_list(rows).to_parquet(buffer)
    return buffer.getvalue()


def make_card(sheet: Datasheet, records: Sequence[Record], *, license_name: str) -> str:
    """The README.md of a Hub dataset: metadata for the Hub, then the datasheet and examples."""
    size = next((name for limit, name in SIZES if sheet.num_records < limit), "1M<n<10M")
    metadata = {
        "pretty_name": sheet.title,
        "license": license_name,
        "language": ["en"],
        "task_categories": ["text-generation", "question-answering"],
        "tags": ["biology", "medical", "instruction-tuning"],
        "size_categories": [size],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": HUB_DATA}]}],
    }
    examples = "".join(
        f"```json\n{json.dumps(row, ensure_ascii=False, indent=1)}\n```\n" for row in to_rows(example_records(records))
    )
    body = to_markdown(sheet, pictures=())
    front = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n{body}\n## Examples\n\n{examples}"
