"""Labels for records, offline or by an LLM, as the rows of a label file, and how far they agree with others."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from bioinstruct.categories import CATEGORIES
from bioinstruct.categorizer.agreement import Agreement, measure_agreement
from bioinstruct.categorizer.model import REPORT_FILE, TARGETS, load_categorizer
from bioinstruct.config.building import BudgetConfig, CategorizeLlmPrompt, LlmConfig
from bioinstruct.errors import UserError
from bioinstruct.llm.exchange import ChatRequest
from bioinstruct.llm.pool import READ_AHEAD
from bioinstruct.llm.request_log import RequestLog
from bioinstruct.llm.sending import Sender
from bioinstruct.records import Record, RecordSet, apply_labels
from bioinstruct.runs import JsonValue, write_atomic

NAMED_CATEGORY = re.compile(rf"\b({'|'.join(CATEGORIES)})\b", re.IGNORECASE)

Row = dict[str, JsonValue]


@dataclass(frozen=True)
class Labelling:
    """Rows of a label file, and the records that got no label."""

    rows: list[Row]
    num_unlabelled: int = 0

    def counts(self) -> Counter[str]:
        """Records per category."""
        return Counter(str(row["category"]) for row in self.rows)

    def share_above(self, confidence: float) -> float | None:
        """Share of labels at least so sure, or None where the backend does not say how sure it is."""
        sure = [row["confidence"] for row in self.rows if isinstance(row.get("confidence"), float)]
        return sum(value >= confidence for value in sure if isinstance(value, float)) / len(sure) if sure else None


def label_offline(records: Sequence[Record]) -> Labelling:
    """Both readings of the category for every record, each with its confidence in (0.25, 1)."""
    predictions = load_categorizer().predict(records)
    broad, strict = predictions["category"], predictions["category_strict"]
    return Labelling(
        [
            {
                "record": record.record_id,
                "category": b.category,
                "confidence": round(b.confidence, 4),
                "category_strict": s.category,
                "confidence_strict": round(s.confidence, 4),
            }
            for record, b, s in zip(records, broad, strict, strict=True)
        ]
    )


def make_requests(records: Sequence[Record], *, prompt: CategorizeLlmPrompt, llm: LlmConfig) -> Iterator[ChatRequest]:
    """One request per record, named by the record's id."""
    for record in records:
        fields = {"{instruction}": record.instruction, "{input}": record.input, "{output}": record.output}
        parts = re.split(r"(\{instruction\}|\{input\}|\{output\})", prompt.user)
        user = "".join(fields.get(part, part) for part in parts)
        yield ChatRequest(
            messages=(("system", prompt.system), ("user", user)),
            model=llm.model,
            max_tokens=llm.max_tokens,
            temperature=llm.temperature,
            top_p=llm.top_p,
            name=record.record_id,
        )


def label_by_llm(
    records: Sequence[Record],
    *,
    prompt: CategorizeLlmPrompt,
    sender: Sender,
    budget_config: BudgetConfig,
    log_file: Path,
) -> Labelling:
    """The category that the endpoint's model names; a record whose answer names none or several gets no label."""
    rows: list[Row] = []
    requests = make_requests(records, prompt=prompt, llm=sender.llm)
    with RequestLog(log_file) as log:
        budget = sender.open_budget(budget_config, log)
        answers = sender.send(requests, log=log, budget=budget, ahead=lambda: READ_AHEAD * sender.llm.concurrency)
        for record, answer in zip(records, answers, strict=True):
            category = read_category(answer.text)
            if category is not None:
                rows.append({"record": record.record_id, "category": category})
    if not rows:
        raise UserError(
            f"none of {len(records)} answers names exactly one of {', '.join(CATEGORIES)} (see {log_file}); "
            "use a larger model, another prompt (instruct), or backend=offline"
        )
    return Labelling(rows, len(records) - len(rows))


def read_category(text: str) -> str | None:
    """The one category that a text names, else None."""
    named = {name.lower() for name in NAMED_CATEGORY.findall(text)}
    return named.pop() if len(named) == 1 else None


def write_labels(labelling: Labelling, path: Path) -> None:
    """Writes the label file: JSON Lines that data.labels takes."""
    write_atomic(path, "".join(json.dumps(row) + "\n" for row in labelling.rows))


def compare_labels(labelling: Labelling, records: RecordSet, reference: Path, *, field: str) -> dict[str, Agreement]:
    """Agreement of each label of ours with a label file, over the records that both have."""
    labelled = apply_labels(records, reference, field=field).records
    truth = {record.record_id: record.category for record in labelled if record.category is not None}
    found: dict[str, Agreement] = {}
    for target in ("category", "category_strict"):
        pairs = [
            (true, str(row[target]))
            for row in labelling.rows
            if target in row and (true := truth.get(str(row["record"]))) is not None
        ]
        if pairs:
            found[target] = measure_agreement([true for true, _ in pairs], [ours for _, ours in pairs])
    if not found:
        raise UserError(f"{reference}: none of its labels is of a record that was labelled here")
    return found


def shipped_agreements() -> list[tuple[str, Agreement]]:
    """How the shipped model did on records it had not seen, by target, and against the second reader."""
    package = resources.files("bioinstruct.categorizer")
    report = json.loads(package.joinpath(REPORT_FILE).read_text(encoding="utf-8"))
    return [
        (target + suffix, Agreement(**report[target][part]))
        for target in TARGETS
        for part, suffix in (("held_out", ""), ("held_out_against_second_reader", " against the second reader"))
    ]
