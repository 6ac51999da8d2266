"""Instruction records: reading, checking, labelling, splitting.

A record is identified by the first 16 hex digits of sha256(instruction + "\\x1f" + input), taken from the raw
fields before any normalisation: label files join on it, and splits are drawn from it, so neither depends on
the order of a file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bioinstruct.categories import CATEGORIES
from bioinstruct.errors import PrerequisiteError, UserError

FIELDS = ("instruction", "input", "output")
SUFFIXES = (".json", ".jsonl", ".parquet")

EMPTY_INPUT = re.compile(
    r"^\W*(n\s*/?\s*a|none|null|nil|no\s*input|noinput"
    r"|(no|none)\s+(additional\s+|further\s+|specific\s+)?(input|context|information)?\s*"
    r"(is\s+|was\s+)?(required|needed|necessary|provided|given|available|applicable)"
    r"|not\s+(applicable|required|needed|provided|available)|input\s+not\s+(required|needed|applicable))\W*$",
    re.IGNORECASE,
)
"""Inputs that stand for "no input": 7.7 % of 2,501 measured BioInstruct records write "N/A", "None",
"(no input required)" and the like, which must not become `### Input: N/A`."""


@dataclass(frozen=True)
class Record:
    """One instruction record; `input` is normalised ("" when there is none), `record_id` is of the raw fields."""

    record_id: str
    instruction: str
    input: str
    output: str
    category: str | None = None
    """One of CATEGORIES, or None while unlabelled."""


@dataclass(frozen=True)
class RecordSet:
    """Records of one source with what was counted while reading them."""

    records: tuple[Record, ...]
    source: str
    content_hash: str
    """sha256 over the raw fields in file order: part of the run id."""
    num_normalised_inputs: int
    num_duplicates: int
    """Records whose instruction and input stand more than once; the first is kept."""
    num_unlabelled: int = 0
    label_hash: str | None = None


def record_id(instruction: str, input_text: str) -> str:
    """First 16 hex digits of sha256 over instruction, U+001F and input, UTF-8."""
    return hashlib.sha256(f"{instruction}\x1f{input_text}".encode()).hexdigest()[:16]


def normalise_input(text: str) -> str:
    """The input without surrounding white space; "" where it only says that there is none."""
    stripped = text.strip()
    has_word = any(character.isalnum() for character in stripped)
    return stripped if has_word and not EMPTY_INPUT.match(stripped) else ""


def read_records(path: Path, *, sha256: str | None = None) -> RecordSet:
    """Records of a JSON (a list), JSON Lines or Parquet file, checked and normalised.

    A field `category` in the file labels its record. Raises UserError naming file and line (or record number)
    for a malformed record or another checksum than `sha256`, PrerequisiteError when the file is missing.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(f"data.path is {path}; known formats: {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise PrerequisiteError(f"instruction data not found: {path}. Set data.path (or data_root) to an existing file")
    content = path.read_bytes()
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise UserError(
            f"{path} has sha256 {hashlib.sha256(content).hexdigest()}, expected {sha256}: the file has changed. "
            "Restore it, or set data.sha256 to the new value on purpose"
        )
    if path.suffix == ".parquet":
        rows: Iterable[tuple[str, object]] = _parquet_rows(path)
    else:
        text = _decode(content, path)
        rows = _jsonl_rows(text, path) if path.suffix == ".jsonl" else _json_rows(text, path)
    return build_record_set((check_fields(raw, place=place) for place, raw in rows), source=str(path))


def build_record_set(raw_records: Iterable[Mapping[str, str]], *, source: str) -> RecordSet:
    """A record set of checked raw fields: normalised, duplicates dropped and counted, content hashed."""
    digest = hashlib.sha256()
    kept: dict[str, Record] = {}
    num_normalised = num_duplicates = 0
    for raw in raw_records:
        for field in (*FIELDS, "category"):
            digest.update(f"{raw.get(field, '')}\x1f".encode())
        digest.update(b"\x1e")
        identity = record_id(raw["instruction"], raw["input"])
        if identity in kept:
            num_duplicates += 1
            continue
        cleaned = normalise_input(raw["input"])
        num_normalised += cleaned == "" and raw["input"].strip() != ""
        kept[identity] = Record(
            identity, raw["instruction"].strip(), cleaned, raw["output"].strip(), raw.get("category")
        )
    if not kept:
        raise UserError(f"{source} holds no records; expected a list of {{instruction, input, output}}")
    return RecordSet(tuple(kept.values()), source, digest.hexdigest(), num_normalised, num_duplicates)


def check_fields(raw: object, *, place: str) -> dict[str, str]:
    """The text fields of one raw record; UserError naming `place` if one is missing, empty or no text."""
    if not isinstance(raw, dict):
        raise UserError(f"{place}: a record must be an object with {', '.join(FIELDS)}, found {type(raw).__name__}")
    fields: dict[str, str] = {}
    for name in FIELDS:
        value = raw.get(name, "" if name == "input" else None)
        value = "" if value is None and name == "input" else value
        if not isinstance(value, str):
            found = "nothing" if value is None else f"{type(value).__name__} {value!r}"[:80]
            raise UserError(f"{place}: field {name!r} must be text, found {found}. Mend or remove the record")
        if name != "input" and not value.strip():
            raise UserError(f"{place}: field {name!r} is empty. Mend or remove the record")
        fields[name] = value
    category = raw.get("category")
    if category is not None:
        fields["category"] = check_category(category, place=place)
    return fields


def check_category(value: object, *, place: str) -> str:
    """The category if it is one of CATEGORIES, else UserError naming `place`."""
    if value not in CATEGORIES:
        raise UserError(f"{place}: category is {value!r}; known: {', '.join(CATEGORIES)}")
    return str(value)


def apply_labels(records: RecordSet, path: Path, *, field: str) -> RecordSet:
    """The records with the categories of a label file (JSON Lines of {record, <field>}); others stay unlabelled.

    Raises UserError for a malformed line, a missing field, an unknown category, or no match at all.
    """
    if not path.is_file():
        raise PrerequisiteError(
            f"label file not found: {path}. Set data.labels to a JSON Lines file of {{record, {field}}}"
        )
    text = _decode(path.read_bytes(), path)
    labels: dict[str, str] = {}
    for place, row in _jsonl_rows(text, path):
        if not isinstance(row, dict) or not isinstance(row.get("record"), str) or field not in row:
            known = ", ".join(sorted(row)) if isinstance(row, dict) else type(row).__name__
            raise UserError(f"{place}: needs 'record' and {field!r}, found {known}. Set data.label_field")
        labels[row["record"]] = check_category(row[field], place=place)
    labelled = tuple(replace(r, category=labels.get(r.record_id, r.category)) for r in records.records)
    num_unlabelled = sum(r.category is None for r in labelled)
    if num_unlabelled == len(labelled):
        raise UserError(f"{path}: none of its {len(labels)} labels matches a record of {records.source}")
    pairs = sorted((identity, label) for identity, label in labels.items())
    label_hash = hashlib.sha256(json.dumps(pairs).encode()).hexdigest()
    return replace(records, records=labelled, num_unlabelled=num_unlabelled, label_hash=label_hash)


def select_categories(records: Sequence[Record], include: Sequence[str]) -> list[Record]:
    """The records whose category is in `include`.

    Raises UserError when a subset is asked of unlabelled records, or when a category has no record.
    """
    if set(include) == set(CATEGORIES):
        return list(records)
    counts = Counter(record.category for record in records)
    if counts[None] == len(records):
        raise UserError(
            f"category.include={list(include)} needs category labels and these records have none. Label them: "
            "data.labels=<JSON Lines of {record, category}>, a field `category` in the records, or "
            "bioinstruct-categorize; or train on everything with category=all_other"
        )
    empty = [name for name in include if not counts[name]]
    if empty:
        present = ", ".join(f"{name} {counts[name]}" for name in CATEGORIES)
        raise UserError(f"category.include={list(include)}: no record of {empty[0]!r} (records: {present})")
    return [record for record in records if record.category in include]


def split_validation(records: Sequence[Record], fraction: float) -> tuple[list[Record], list[Record]]:
    """(training, validation): a record is validation if its id, read as a number in [0, 1), is below `fraction`."""
    threshold = int(fraction * 2**64)
    training = [r for r in records if int(r.record_id, 16) >= threshold]
    validation = [r for r in records if int(r.record_id, 16) < threshold]
    return training, validation


def _decode(content: bytes, path: Path) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{path}, line {line}: not UTF-8 (byte {error.start}). Convert the file to UTF-8") from error


def _json_rows(text: str, path: Path) -> Iterable[tuple[str, object]]:
    """The elements of a JSON list one by one, each with the line it begins on."""
    decoder = json.JSONDecoder()
    position = _skip_space(text, 0)
    if text[position : position + 1] != "[":
        raise UserError(f"{path}, line {text.count(chr(10), 0, position) + 1}: expected a JSON list of records")
    line, counted = 1, 0
    separator = "["
    while True:
        position = _skip_space(text, position + 1)
        line, counted = line + text.count("\n", counted, position), position
        if text[position : position + 1] == "]" and separator == "[":
            return
        try:
            row, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from error
        yield f"{path}, line {line}", row
        position = _skip_space(text, position)
        separator = text[position : position + 1]
        if separator == "]":
            return
        if separator != ",":
            at = text.count("\n", 0, position) + 1
            raise UserError(f"{path}, line {at}: expected ',' or ']' after a record, found {separator or 'the end'!r}")


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _jsonl_rows(text: str, path: Path) -> Iterable[tuple[str, object]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield f"{path}, line {number}", json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"{path}, line {number}: not JSON ({error.msg})") from error


def _parquet_rows(path: Path) -> Iterable[tuple[str, object]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except pyarrow.ArrowInvalid as error:
        raise UserError(f"{path}: not a Parquet file ({error})") from error
    return ((f"{path}, row {number}", row) for number, row in enumerate(table.to_pylist(), 1))
