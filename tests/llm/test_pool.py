"""Order, retries, money and closing of the pool, with a client that answers as it is told."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from bioinstruct.llm.budget import Budget, Price
from bioinstruct.llm.exchange import (
    BudgetError,
    ChatAnswer,
    ChatRequest,
    EndpointError,
    Reply,
    RetryableError,
    Usage,
)
from bioinstruct.llm.pool import PoolSettings, backoff_seconds, run_requests
from bioinstruct.llm.request_log import RequestLog

SETTINGS = PoolSettings(concurrency=4, max_attempts=3, backoff_seconds=0.001, max_wait_seconds=5)


class FakeClient:
    """Answers after turns of the event loop that shrink with the request's number: the last is the first."""

    def __init__(self, *, errors: dict[str, list[Exception]] | None = None) -> None:
        self.errors = errors or {}
        self.asked: Counter[str] = Counter()
        self.closed = False

    async def complete(self, request: ChatRequest) -> Reply:
        self.asked[request.name] += 1
        for _ in range(40 - 4 * int(request.name)):
            await asyncio.sleep(0)
        if self.errors.get(request.name):
            raise self.errors[request.name].pop(0)
        return Reply(ChatAnswer(request.request_id, request.name, "stop", Usage(10, 5), "m"))

    async def close(self) -> None:
        self.closed = True


def make_requests(number: int) -> list[ChatRequest]:
    return [ChatRequest((("user", str(n)),), "m", max_tokens=5, name=str(n)) for n in range(number)]


def make_budget(max_usd: float | None = None) -> Budget:
    return Budget(max_usd=max_usd, price=Price(1.0, 1.0))


def retryable(*, maybe_charged: bool) -> RetryableError:
    return RetryableError("timeout", "late", maybe_charged=maybe_charged)


def test_answers_come_in_request_order_whatever_arrives_first(tmp_path: Path) -> None:
    client = FakeClient()
    with RequestLog(tmp_path / "log.jsonl") as log:
        answers = run_requests(make_requests(9), client=client, log=log, budget=make_budget(), settings=SETTINGS)
        assert [answer.text for answer in answers] == [str(n) for n in range(9)]
        assert list(log.answers) != [request.request_id for request in make_requests(9)]
    assert client.closed


def test_a_lost_answer_is_charged_in_full_and_a_refused_one_not(tmp_path: Path) -> None:
    errors: dict[str, list[Exception]] = {
        "0": [retryable(maybe_charged=True)],
        "1": [retryable(maybe_charged=False)],
    }
    requests, budget = make_requests(2), make_budget()
    with RequestLog(tmp_path / "log.jsonl") as log:
        list(run_requests(requests, client=FakeClient(errors=errors), log=log, budget=budget, settings=SETTINGS))
        assert budget.spent == log.spent == 2 * 15_000 + budget.price.worst_cost(requests[0])
        assert budget.reserved == 0


def test_logged_answers_are_not_asked_for_again(tmp_path: Path) -> None:
    for expected in (1, 0):
        client = FakeClient()
        with RequestLog(tmp_path / "log.jsonl") as log:
            answers = run_requests(make_requests(6), client=client, log=log, budget=make_budget(), settings=SETTINGS)
            assert [answer.text for answer in answers] == [str(n) for n in range(6)]
        assert client.asked == (Counter({str(n): 1 for n in range(6)}) if expected else {})


def test_only_as_many_requests_as_are_worth_it_are_sent(tmp_path: Path) -> None:
    client = FakeClient()
    with RequestLog(tmp_path / "log.jsonl") as log:
        answers = run_requests(
            make_requests(9), client=client, log=log, budget=make_budget(), settings=SETTINGS, ahead=lambda: 2
        )
        assert [next(answers).text for _ in range(3)] == ["0", "1", "2"]
        answers.close()
        assert len(client.asked) == 4
        assert len(log.answers) == 4


def test_the_budget_ends_the_answers_in_the_place_of_the_request_that_does_not_fit(tmp_path: Path) -> None:
    requests = make_requests(9)
    worst = Price(1.0, 1.0).worst_cost(requests[0])
    budget = make_budget((3 * 15_000 + worst) / 1e9)
    with RequestLog(tmp_path / "log.jsonl") as log:
        answers = run_requests(requests, client=FakeClient(), log=log, budget=budget, settings=SETTINGS)
        assert [next(answers).text for _ in range(4)] == ["0", "1", "2", "3"]
        with pytest.raises(BudgetError, match="budget spent"):
            next(answers)


def test_money_goes_to_the_first_request_while_its_answer_is_missing(tmp_path: Path) -> None:
    requests = make_requests(9)
    worst = Price(1.0, 1.0).worst_cost(requests[0])
    # Enough for a lost attempt of the first request and a second one, unless later requests spend it.
    budget = make_budget(2.5 * worst / 1e9)
    client = FakeClient(errors={"0": [retryable(maybe_charged=True)]})
    with RequestLog(tmp_path / "log.jsonl") as log:
        answers = run_requests(requests, client=client, log=log, budget=budget, settings=SETTINGS)
        assert next(answers).text == "0"
        answers.close()
    assert log.spent <= 2.5 * worst


def test_a_fatal_error_of_a_later_request_stops_all_at_once(tmp_path: Path) -> None:
    client = FakeClient(errors={"3": [EndpointError("no such model")]})
    with RequestLog(tmp_path / "log.jsonl") as log:
        answers = run_requests(make_requests(9), client=client, log=log, budget=make_budget(), settings=SETTINGS)
        with pytest.raises(EndpointError, match="no such model"):
            list(answers)
    assert sum(client.asked.values()) == 4


def test_attempts_end_with_a_message_that_says_how_to_go_on(tmp_path: Path) -> None:
    errors: dict[str, list[Exception]] = {"0": [retryable(maybe_charged=False) for _ in range(3)]}
    with RequestLog(tmp_path / "log.jsonl") as log:
        answers = run_requests(
            make_requests(1), client=FakeClient(errors=errors), log=log, budget=make_budget(), settings=SETTINGS
        )
        with pytest.raises(EndpointError, match=r"after 3 attempts \(timeout: late\); run the command again"):
            list(answers)


def test_backoff_doubles_with_jitter_and_honours_retry_after() -> None:
    settings = PoolSettings(concurrency=1, max_attempts=9, backoff_seconds=1.0, max_wait_seconds=10.0)
    for attempt, full in ((1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (9, 10)):
        assert full / 2 <= backoff_seconds(attempt, settings=settings, retry_after=None, key="a") <= full
    assert backoff_seconds(1, settings=settings, retry_after=7.0, key="a") == 7.0
    with pytest.raises(EndpointError, match="asks to wait 11 s"):
        backoff_seconds(1, settings=settings, retry_after=11.0, key="a")
