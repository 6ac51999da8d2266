"""Label files: what the offline model and an LLM write, read back by data.labels' reader."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from bioinstruct.categorizer.labelling import (
    Labelling,
    compare_labels,
    label_by_llm,
    label_offline,
    make_requests,
    read_category,
    shipped_agreements,
    write_labels,
)
from bioinstruct.config.building import (
    BudgetConfig,
    CategorizeLlmPrompt,
    LlmConfig,
    PriceConfig,
    PricesConfig,
)
from bioinstruct.errors import UserError
from bioinstruct.llm.exchange import BatchState, ChatAnswer, ChatRequest, Reply
from bioinstruct.llm.sending import Sender
from bioinstruct.records import RecordSet, apply_labels, build_record_set
from bioinstruct.runs import JsonValue

PROMPT = CategorizeLlmPrompt(system="Sort.", user="{instruction}|{input}|{output}")


class FakeEndpoint:
    """Names the category that stands in the record's output."""

    async def complete(self, request: ChatRequest) -> Reply:
        text = request.messages[1][1].rsplit("|", 1)[1]
        return Reply(ChatAnswer(request.request_id, text, "stop", None, "m"))

    async def close(self) -> None:
        """Nothing to close."""

    async def create_batch(self, requests: Sequence[ChatRequest], *, key: str) -> str:
        raise AssertionError(f"no batch wanted: {len(requests)} {key}")

    async def find_batch(self, key: str) -> str | None:
        raise AssertionError(key)

    async def batch_state(self, batch_id: str) -> BatchState:
        raise AssertionError(batch_id)

    async def read_lines(self, file_id: str) -> list[Mapping[str, JsonValue]]:
        raise AssertionError(file_id)


@pytest.fixture
def records() -> RecordSet:
    outputs = ("qa", "Category: IE.", "qa or gen", "gen")
    raw = [{"instruction": f"Task {{input}} {n}", "input": "N/A", "output": o} for n, o in enumerate(outputs)]
    return build_record_set(raw, source="test")


@pytest.mark.parametrize(
    ("text", "category"),
    [("qa", "qa"), (" IE.\n", "ie"), ("gen, that is gen", "gen"), ("qa or ie", None), ("generation", None)],
)
def test_an_answer_that_names_one_category_is_a_label(text: str, category: str | None) -> None:
    assert read_category(text) == category


def test_fields_are_filled_once_and_braces_in_them_stay(records: RecordSet) -> None:
    request = next(make_requests(records.records, prompt=PROMPT, llm=LlmConfig(model="m")))
    assert request.messages == (("system", "Sort."), ("user", "Task {input} 0||qa"))


def test_an_llm_labels_what_it_answers_clearly(records: RecordSet, tmp_path: Path) -> None:
    prices = PricesConfig(as_of="today", models={"m": PriceConfig(input_usd=0, output_usd=0)})
    sender = Sender(LlmConfig(model="m"), prices, FakeEndpoint())
    labelling = label_by_llm(
        records.records,
        prompt=PROMPT,
        sender=sender,
        budget_config=BudgetConfig(max_usd=1.0),
        log_file=tmp_path / "log.jsonl",
    )
    ids = [record.record_id for record in records.records]
    expected = [(ids[0], "qa"), (ids[1], "ie"), (ids[3], "gen")]
    assert [(row["record"], row["category"]) for row in labelling.rows] == expected
    assert labelling.num_unlabelled == 1
    assert labelling.share_above(0.8) is None


def test_offline_labels_are_read_by_the_reader_of_data_labels(records: RecordSet, tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    write_labels(label_offline(records.records), path)
    for field in ("category", "category_strict"):
        assert apply_labels(records, path, field=field).num_unlabelled == 0
    row = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    assert 0.25 < row["confidence"] < 1


def test_labels_are_compared_over_the_records_that_both_have(records: RecordSet, tmp_path: Path) -> None:
    ids = [record.record_id for record in records.records]
    reference = tmp_path / "reference.jsonl"
    rows = [{"record": ids[0], "seen": "qa"}, {"record": ids[1], "seen": "gen"}]
    reference.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    ours = Labelling([{"record": identity, "category": "qa"} for identity in ids[:3]])
    found = compare_labels(ours, records, reference, field="seen")
    assert list(found) == ["category"]
    assert (found["category"].num_records, found["category"].accuracy) == (2, 0.5)
    with pytest.raises(UserError, match="none of its labels is of a record"):
        compare_labels(Labelling([]), records, reference, field="seen")


def test_the_shipped_report_has_both_readings_and_the_second_reader() -> None:
    assert [title for title, _ in shipped_agreements()] == [
        "category",
        "category against the second reader",
        "category_strict",
        "category_strict against the second reader",
    ]
