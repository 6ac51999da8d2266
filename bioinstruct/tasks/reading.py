"""Files of evaluation datasets, read strictly: whatever is malformed is named by file and line.

A *place* is the `file:line` or `file: record` prefix of an error message.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from bioinstruct.errors import UserError

Row = Mapping[str, object]


def read_text(path: Path) -> str:
    """The file as UTF-8 text; UserError naming the line of a byte that is none."""
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}:{line}: byte 0x{content[error.start]:02x} is not UTF-8; get the original file again"
        ) from error


def read_json(path: Path) -> object:
    """The value in a JSON file; UserError with the line for broken JSON and for a key that stands twice."""
    text = read_text(path)

    def without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
        record = dict(pairs)
        if len(record) != len(pairs):
            keys = [key for key, _ in pairs]
            double = next(key for position, key in enumerate(keys) if key in keys[:position])
            raise UserError(f"{path}:{last_line_of(text, double)}: key {double!r} stands twice; remove one of the two")
        return record

    try:
        value: object = json.loads(text, object_pairs_hook=without_duplicates)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}:{error.lineno}: broken JSON ({error.msg}); the file is cut or edited, get it again"
        ) from error
    return value


def last_line_of(text: str, key: str) -> int:
    """1-based line of the last place where a JSON text holds the key."""
    return text.count("\n", 0, max(text.rfind(json.dumps(key, ensure_ascii=False)), text.rfind(json.dumps(key)))) + 1


def json_records(path: Path, value: object) -> Iterator[tuple[str, str, Row]]:
    """(key, place, record) of a JSON object of records, as PubMedQA and MIRAGE are written."""
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected an object of records by id, found {type(value).__name__}")
    text = read_text(path)
    line, position = 1, 0
    for key, record in value.items():
        found = text.find(json.dumps(key) + ":", position)
        if found >= 0:
            line += text.count("\n", position, found)
            position = found
        place = f"{path}:{line}: record {key!r}"
        if not isinstance(record, dict):
            raise UserError(f"{place} is {type(record).__name__}, expected an object")
        yield key, place, record


def json_lines(path: Path) -> Iterator[tuple[str, Row]]:
    """(place, record) of a JSON Lines file; blank lines are skipped."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            record: object = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{place}: broken JSON ({error.msg}); the file is cut or edited, get it again") from error
        if not isinstance(record, dict):
            raise UserError(f"{place}: expected an object, found {type(record).__name__}")
        yield place, record


def json_list(path: Path) -> Iterator[tuple[str, Row]]:
    """(place, record) of a JSON file that holds a list of objects."""
    value = read_json(path)
    if not isinstance(value, list):
        raise UserError(f"{path}: expected a list of records, found {type(value).__name__}")
    for number, record in enumerate(value, start=1):
        place = f"{path}: record {number}"
        if not isinstance(record, dict):
            raise UserError(f"{place}: expected an object, found {type(record).__name__}")
        yield place, record


def csv_rows(path: Path, *, columns: Collection[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """(place, row) of a comma-separated file with a header; the place is the line the row ends on.

    Raises UserError for a missing column, an unterminated quote or a row with too few or too many fields.
    """
    rows = csv_fields(path)
    _, header = next(rows, ("", []))
    missing = [column for column in columns if column not in header]
    if missing:
        raise UserError(f"{path}:1: no column {missing[0]!r}; found: {', '.join(header) or 'nothing'}")
    for place, fields in rows:
        if len(fields) != len(header):
            raise UserError(f"{place}: {len(fields)} fields where the header has {len(header)}; get the file again")
        yield place, dict(zip(header, fields, strict=True))


def csv_fields(path: Path) -> Iterator[tuple[str, list[str]]]:
    """(place, fields) of every row of a comma-separated file, a header included."""
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        for fields in reader:
            yield f"{path}:{reader.line_num}", fields
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: {error}; the file is cut or edited, get it again") from error


def parquet_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """(place, row) of a Parquet file, as the Hugging Face Hub stores datasets."""
    import pyarrow
    import pyarrow.parquet

    try:
        rows: list[dict[str, object]] = pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} is not a readable Parquet file ({error}); download it again") from error
    for number, row in enumerate(rows, start=1):
        yield f"{path}: row {number}", row


def text_field(record: Row, key: str, *, place: str) -> str:
    """A text field as it stands; UserError where it is missing, no text, or blank."""
    value = record.get(key)
    if not isinstance(value, str):
        found = f"is {type(value).__name__}" if key in record else f"is missing (fields: {', '.join(record)})"
        raise UserError(f"{place}: {key} {found}, expected a text")
    if not value.strip():
        raise UserError(f"{place}: {key} is empty; restore the record or get the file again")
    return value


def choice_field(record: Row, key: str, allowed: Sequence[str], *, place: str) -> int:
    """Index of a field's value in `allowed`; UserError naming the allowed values for another one."""
    value = text_field(record, key, place=place)
    if value not in allowed:
        raise UserError(f"{place}: {key} is {value!r}; allowed: {', '.join(allowed)}")
    return allowed.index(value)


def object_field(record: Row, key: str, *, place: str) -> dict[str, object]:
    """A field that holds an object; UserError otherwise."""
    value = record.get(key)
    if not isinstance(value, dict):
        raise UserError(f"{place}: {key} is {type(value).__name__}, expected an object")
    return value


def list_field(record: Row, key: str, *, place: str) -> list[object]:
    """A field that holds a list; UserError otherwise."""
    value = record.get(key)
    if not isinstance(value, list):
        raise UserError(f"{place}: {key} is {type(value).__name__}, expected a list")
    return value
