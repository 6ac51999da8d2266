"""Money is counted in whole billionths; the log survives what kills the process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bioinstruct.errors import UserError
from bioinstruct.llm.budget import Budget, Price, count_request_bytes, find_price
from bioinstruct.llm.exchange import ChatAnswer, ChatRequest, Usage
from bioinstruct.llm.request_log import RequestLog

REQUEST = ChatRequest(messages=(("user", "Größe"),), model="m", max_tokens=10, name="a")
OTHER = ChatRequest(messages=(("user", "x"),), model="m", max_tokens=10, name="b")


def make_answer(request: ChatRequest) -> ChatAnswer:
    return ChatAnswer(request.request_id, "yes", "stop", Usage(5, 2), "m-1")


def test_cost_is_counted_in_billionths_of_a_dollar() -> None:
    # 1,000 tokens at 2.5 dollars a million and 100 at 10: 0.0025 + 0.001 dollars.
    assert Price(2.5, 10.0).cost(1000, 100) == 3_500_000


def test_worst_cost_counts_every_byte_and_the_longest_answer() -> None:
    # "Größe" has 7 bytes; 16 for the message, 64 for the request.
    assert count_request_bytes(REQUEST) == 7 + 16 + 64
    assert Price(1.0, 1.0).worst_cost(REQUEST) == (87 + 10) * 1000


def test_reservations_and_spending_together_stay_below_the_cap() -> None:
    budget = Budget(max_usd=1e-6, price=Price(1.0, 1.0))
    assert budget.reserve(600)
    assert not budget.reserve(401)
    assert budget.reserve(400)
    budget.settle(600, 100)
    assert (budget.spent, budget.reserved) == (100, 400)
    assert budget.reserve(500)


def test_an_answer_without_usage_costs_what_was_set_aside() -> None:
    assert Budget(max_usd=None, price=Price(1.0, 1.0)).charge_of(None, 77) == 77


def test_an_unknown_price_is_refused_only_under_a_cap() -> None:
    assert find_price("x", {}, capped=False) == Price(0.0, 0.0)
    with pytest.raises(UserError, match=r"price of llm\.model='x'; prices\.models has: m"):
        find_price("x", {"m": Price(1, 1)}, capped=True)


def test_answers_spending_and_attempts_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with RequestLog(path) as log:
        first = log.sent(REQUEST, reserved=50)
        log.failed(REQUEST.request_id, attempt=first, kind="timeout", charged=50)
        second = log.sent(REQUEST, reserved=50)
        log.answered(make_answer(REQUEST), attempt=second, charged=7)
        log.sent(OTHER, reserved=40)
        assert log.spent == 50 + 7 + 40
    with RequestLog(path) as log:
        assert log.answers == {REQUEST.request_id: make_answer(REQUEST)}
        # The attempt without an end counts in full.
        assert log.spent == 50 + 7 + 40
        assert log.sent(OTHER, reserved=40) == 2


def test_a_torn_last_line_is_cut_off_and_the_log_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with RequestLog(path) as log:
        attempt = log.sent(REQUEST, reserved=50)
        log.answered(make_answer(REQUEST), attempt=attempt, charged=7)
    content = path.read_bytes()
    for cut in range(content.index(b"\n") + 1, len(content)):
        path.write_bytes(content[:cut])
        with RequestLog(path) as log:
            assert (log.answers == {}) == (cut < len(content))
            log.failed(REQUEST.request_id, attempt=1, kind="x", charged=0)
        assert all(json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    with RequestLog(tmp_path / "log.jsonl"), pytest.raises(UserError, match="in use by another process"):
        RequestLog(tmp_path / "log.jsonl")


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"event": "sent", "id": "a", "attempt": 1, "reserved": 1}\n{}\n')
    with pytest.raises(UserError, match="line 2: not a line of a request log"):
        RequestLog(tmp_path / "log.jsonl")
