"""Numbers, verbs, pictures and exports of a datasheet."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from bioinstruct.building.datasheet import describe, example_records, measure, to_html, to_markdown
from bioinstruct.building.export import HUB_DATA, export, make_card
from bioinstruct.building.pictures import draw, render
from bioinstruct.building.verbs import root_verb_and_object
from bioinstruct.config.building import ExportFormat
from bioinstruct.records import RecordSet, build_record_set

RAW = [
    {"instruction": "List the side effects", "input": "metformin", "output": "a b c", "category": "ie"},
    {"instruction": "List the common side effects now", "input": "N/A", "output": "a", "category": "ie"},
    {"instruction": "Explain how <aspirin> works", "input": "", "output": "It blocks.", "category": "qa"},
    {"instruction": "Explain how <aspirin> works", "input": "briefly", "output": "It blocks.", "category": "qa"},
    {"instruction": "List the side effects", "input": "metformin", "output": "again", "category": "ie"},
]


@pytest.fixture
def records() -> RecordSet:
    return build_record_set(RAW, source="test")


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ("Identify the main symptoms of the given disease.", ("identify", "symptom")),
        ("Given a list of lab values, age, and sex, calculate the anion gap.", ("calculate", "gap")),
        ("Provide a brief explanation of the term", ("provide", "explanation")),
        ("Explain how this drug works", ("explain", "–")),
        ("What is the most likely diagnosis?", ("what", "–")),
        ("Suggest possible diagnoses for the case", ("suggest", "diagnosis")),
        ("Xylophones are here", None),
    ],
)
def test_root_verb_and_object_follow_the_rules(instruction: str, expected: tuple[str, str] | None) -> None:
    assert root_verb_and_object(instruction) == expected


def test_counts_are_those_of_the_records(records: RecordSet) -> None:
    sheet = describe(records, title="Test")
    assert (sheet.num_records, sheet.num_duplicates, sheet.num_normalised_inputs) == (4, 1, 1)
    assert sheet.num_repeated_instructions == 2
    # LCS of the two lists is 4 of 4 and 6 words: 8 / 10; the repeated instruction has 1.
    assert list(sheet.nearest) == pytest.approx([0.8, 0.8, 1.0, 1.0])
    assert sheet.num_similar == 4
    assert sheet.categories == {"ie": 2, "qa": 2}
    assert sheet.words["output"].mean == pytest.approx((3 + 1 + 2 + 2) / 4)


def test_lengths_are_mean_median_nearest_rank_and_maximum() -> None:
    lengths = measure(list(range(1, 101)))
    assert (lengths.mean, lengths.median, lengths.p95, lengths.longest) == (50.5, 50.5, 95, 100)


def test_the_page_escapes_texts_and_holds_every_picture(records: RecordSet) -> None:
    sheet = describe(records, title="A <b> title")
    svgs = {name: render(figure, "svg").decode() for name, figure in draw(sheet).items()}
    assert set(svgs) == {"verbs", "lengths", "nearest", "categories"}
    page = to_html(sheet, svgs=svgs, examples=example_records(records.records))
    assert "<b> title" not in page
    assert "&lt;aspirin&gt;" in page
    assert page.count("<svg") == 4
    assert "![verbs](verbs.png)" in to_markdown(sheet, pictures=["verbs.png"])


def test_pictures_are_the_same_bytes_each_time(records: RecordSet) -> None:
    first, second = (render(draw(describe(records, title="t"))["verbs"], "svg") for _ in range(2))
    assert first == second


def test_exports_hold_the_same_rows(records: RecordSet, tmp_path: Path) -> None:
    sheet = describe(records, title="Test")
    card = make_card(sheet, records.records, license_name="mit")
    written = export(records.records, list(ExportFormat), folder=tmp_path, card=card)
    as_json, as_lines, parquet, hub = written
    rows = json.loads(as_json.read_text(encoding="utf-8"))
    assert rows[1] == {**RAW[1], "input": ""}
    assert [json.loads(line) for line in as_lines.read_text(encoding="utf-8").splitlines()] == rows
    assert pd.read_parquet(parquet).to_dict("records") == rows
    assert pd.read_parquet(hub).to_dict("records") == rows
    front = yaml.safe_load((tmp_path / "hub" / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert front["license"] == "mit"
    assert front["configs"][0]["data_files"][0]["path"] == HUB_DATA
