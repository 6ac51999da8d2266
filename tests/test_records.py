from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from bioinstruct.errors import PrerequisiteError, UserError
from bioinstruct.records import (
    Record,
    apply_labels,
    build_record_set,
    normalise_input,
    read_records,
    record_id,
    select_categories,
    split_validation,
)

RAW = [
    {"instruction": "Name the organ.", "input": "It filters blood.", "output": "The kidney."},
    {"instruction": "Define anaemia.", "input": "N/A", "output": "Too little haemoglobin."},
    {"instruction": "Name the organ.", "input": "It filters blood.", "output": "Kidney."},
]


def write_json(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")
    return path


def test_record_id_is_a_hash_of_the_raw_fields() -> None:
    expected = hashlib.sha256(b"Define anaemia.\x1fN/A").hexdigest()[:16]
    assert record_id("Define anaemia.", "N/A") == expected
    assert build_record_set(RAW, source="x").records[1].record_id == expected


@pytest.mark.parametrize(
    "text", ["N/A", "None", "(no input required)", "none.", "Not applicable", "<noinput>", "-", "  ", "No input needed"]
)
def test_inputs_that_say_there_is_none_become_empty(text: str) -> None:
    assert normalise_input(text) == ""


@pytest.mark.parametrize("text", ["None of the above helped.", "Na 135 mmol/l", "Nausea", "Note: no fever", "0"])
def test_inputs_that_mean_something_are_kept(text: str) -> None:
    assert normalise_input(text) == text


def test_duplicates_and_normalised_inputs_are_counted(tmp_path: Path) -> None:
    records = read_records(write_json(tmp_path / "r.json", RAW))
    assert [r.output for r in records.records] == ["The kidney.", "Too little haemoglobin."]
    assert (records.num_duplicates, records.num_normalised_inputs) == (1, 1)


def test_all_three_formats_read_the_same(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    lines = tmp_path / "r.jsonl"
    lines.write_text("\n".join(json.dumps(row) for row in RAW) + "\n", encoding="utf-8")
    parquet = tmp_path / "r.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(RAW), parquet)
    hashes = {read_records(p).content_hash for p in (write_json(tmp_path / "r.json", RAW), lines, parquet)}
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"instruction": "a", "output": "b"},\n {"instruction": 5, "output": "b"}]', "line 2: field 'instruction'"),
        ('[{"instruction": "a", "output": " "}]', "line 1: field 'output' is empty"),
        ('[{"instruction": "a", "output": "b"}\n{}]', "line 2: expected ',' or ']'"),
        ('[{"instruction": "a", "output": "b"},\n{"instr', "line 2: not JSON"),
        ('{"a": 1}', "line 1: expected a JSON list"),
        ("[]", "holds no records"),
        ("[3]", "line 1: a record must be an object"),
        ('[{"instruction": "a", "output": "b", "category": "q_a"}]', "category is 'q_a'; known: qa, ie, gen, other"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"bad\.json") as error:
        read_records(path)
    assert message in str(error.value)


def test_bytes_that_are_not_utf8_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.jsonl"
    path.write_bytes(b'{"instruction": "a", "output": "b"}\n{"instruction": "\xe9"}')
    with pytest.raises(UserError, match="line 2: not UTF-8"):
        read_records(path)


def test_missing_and_changed_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError, match=r"nowhere\.json"):
        read_records(tmp_path / "nowhere.json")
    with pytest.raises(UserError, match="the file has changed"):
        read_records(write_json(tmp_path / "r.json", RAW), sha256="0" * 64)


def test_labels_join_on_raw_fields_and_unmatched_are_counted(tmp_path: Path) -> None:
    records = build_record_set(RAW, source="x")
    labels = tmp_path / "labels.jsonl"
    rows = [{"record": record_id("Define anaemia.", "N/A"), "kind": "qa"}, {"record": "0" * 16, "kind": "ie"}]
    labels.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    labelled = apply_labels(records, labels, field="kind")
    assert [r.category for r in labelled.records] == [None, "qa"]
    assert labelled.num_unlabelled == 1
    with pytest.raises(UserError, match=r"line 1: needs 'record' and 'category', found kind, record"):
        apply_labels(records, labels, field="category")


def test_a_subset_of_unlabelled_records_says_how_to_label() -> None:
    with pytest.raises(UserError, match="bioinstruct-categorize"):
        select_categories(build_record_set(RAW, source="x").records, ("qa",))
    assert len(select_categories(build_record_set(RAW, source="x").records, ("qa", "ie", "gen", "other"))) == 2


def test_a_category_without_records_is_an_error() -> None:
    records = [Record("0" * 16, "a", "", "b", "qa")]
    with pytest.raises(UserError, match="no record of 'ie'"):
        select_categories(records, ("qa", "ie"))


def test_the_validation_split_depends_on_content_alone() -> None:
    records = [Record(record_id(str(n), ""), str(n), "", "x") for n in range(1000)]
    training, validation = split_validation(records, 0.1)
    assert {r.record_id for r in validation} == {r.record_id for r in split_validation(records[::-1], 0.1)[1]}
    assert len(training) + len(validation) == 1000
    assert 70 < len(validation) < 130
