"""The Batch API as another way to the same answers: rounds of requests, the same ids, the same log.

Before a batch is created its key and its request ids are logged; the endpoint keeps the key as metadata. So a
process that died in between finds the batch again and does not pay for a second one.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import itertools
import json
import logging
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from typing import TypeVar

from bioinstruct.llm.budget import NANO, Budget
from bioinstruct.llm.completion import read_completion
from bioinstruct.llm.exchange import (
    BatchClient,
    BatchState,
    BudgetError,
    ChatAnswer,
    ChatRequest,
    EndpointError,
    RetryableError,
)
from bioinstruct.llm.pool import PoolSettings, backoff_seconds
from bioinstruct.llm.request_log import RequestLog
from bioinstruct.runs import JsonValue

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

MAX_BATCH_REQUESTS = 50_000
"""OpenAI's limit of requests in a batch (platform.openai.com/docs/guides/batch)."""

ENDED = ("completed", "expired", "cancelled", "failed")
MAX_ROUNDS = 3
"""Batches in which the same request may go unanswered before the command stops."""


def run_batches(
    requests: Iterable[ChatRequest],
    *,
    client: BatchClient,
    log: RequestLog,
    budget: Budget,
    settings: PoolSettings,
    poll_seconds: float,
    ahead: Callable[[], int] = lambda: MAX_BATCH_REQUESTS,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Generator[ChatAnswer, None, None]:
    """The answers in request order, like run_requests: each round sends as many requests as `ahead` says.

    Raises EndpointError for a batch that failed, BudgetError for a round that could exceed the cap.
    """
    source = iter(requests)
    with asyncio.Runner() as runner:
        carrier = _Carrier(client, log=log, budget=budget, settings=settings, poll_seconds=poll_seconds, sleep=sleep)
        try:
            runner.run(carrier.resume())
            while wave := list(itertools.islice(source, min(MAX_BATCH_REQUESTS, ahead()))):
                runner.run(carrier.carry(wave))
                for request in wave:
                    yield log.answers[request.request_id]
        finally:
            runner.run(client.close())


def batch_key(requests: Sequence[ChatRequest], attempts: Mapping[str, int]) -> str:
    """Name of a batch: a hash of its request ids and of how often each was sent before."""
    content = json.dumps([[r.request_id, attempts.get(r.request_id, 0)] for r in requests])
    return f"bioinstruct-{hashlib.sha256(content.encode()).hexdigest()[:24]}"


class _Carrier:
    """Brings the answers of batches into the log."""

    def __init__(
        self,
        client: BatchClient,
        *,
        log: RequestLog,
        budget: Budget,
        settings: PoolSettings,
        poll_seconds: float,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.client = client
        self.log = log
        self.budget = budget
        self.settings = settings
        self.poll_seconds = poll_seconds
        self.sleep = sleep

    async def resume(self) -> None:
        """Collects the batches that an earlier process began."""
        for key, batch in list(self.log.batches.items()):
            if batch.ended:
                continue
            reserved = {identity: self.log.reserved(identity) for identity in batch.request_ids}
            total = sum(reserved.values())
            self.budget.spent -= total
            self.budget.reserved += total
            batch_id = batch.batch_id or await self._retry(functools.partial(self.client.find_batch, key), key)
            if batch_id is None:
                self._fail(reserved)
                self.log.batch_ended(key)
            else:
                await self._collect(key, batch_id, reserved)

    async def carry(self, requests: Sequence[ChatRequest]) -> None:
        """Returns when every request has its answer in the log; several batches where one left some out."""
        for _ in range(MAX_ROUNDS):
            missing = [r for r in requests if r.request_id not in self.log.answers]
            if not missing:
                return
            reserved = self._reserve(missing)
            key = batch_key(missing, self.log.attempts)
            for request in missing:
                self.log.sent(request, reserved=reserved[request.request_id])
            self.log.batch_begins(key, request_ids=list(reserved))
            batch_id = await self._create(key, missing)
            self.log.batch_created(key, batch_id=batch_id)
            logger.info("batch %s: %d requests", batch_id, len(missing))
            await self._collect(key, batch_id, reserved)
        missing = [r for r in requests if r.request_id not in self.log.answers]
        if missing:
            raise EndpointError(
                f"{len(missing)} requests, first {missing[0].request_id}, got no answer in {MAX_ROUNDS} "
                "batches; run the command again with llm.mode=pool, answers so far are kept"
            )

    def _reserve(self, missing: Sequence[ChatRequest]) -> dict[str, int]:
        """Sets aside what each request may cost; BudgetError where all together do not fit."""
        costs = {request.request_id: self.budget.price.worst_cost(request) for request in missing}
        total = sum(costs.values())
        if not self.budget.reserve(total):
            raise BudgetError(
                f"budget spent: a batch of {len(missing)} requests may cost {total / NANO:.4f} dollars, and "
                f"{self.budget.spent / NANO:.4f} of {(self.budget.cap or 0) / NANO:.4f} are used; raise "
                "budget.max_usd and run the command again, answers so far are kept"
            )
        return costs

    async def _create(self, key: str, missing: Sequence[ChatRequest]) -> str:
        """Creates the batch; after a failure, first looks whether it was created all the same."""
        tried = False

        async def create() -> str:
            nonlocal tried
            found = await self.client.find_batch(key) if tried else None
            tried = True
            return found or await self.client.create_batch(missing, key=key)

        return await self._retry(create, key)

    async def _collect(self, key: str, batch_id: str, reserved: Mapping[str, int]) -> None:
        """Waits for the end of a batch and logs every answer in it, and the other requests as failed."""
        while (state := await self._state(batch_id)).status not in ENDED:
            await self.sleep(self.poll_seconds)
        left = {identity: cost for identity, cost in reserved.items() if identity not in self.log.answers}
        for file_id in (state.output_file_id, state.error_file_id):
            if file_id is not None:
                read = functools.partial(self.client.read_lines, file_id)
                for line in await self._retry(read, key):
                    self._take(line, left)
        self._fail(left)
        self.log.batch_ended(key)
        if state.status == "failed":
            raise EndpointError(
                f"the endpoint refused batch {batch_id} as a whole; check llm.model and its batch limits"
            )

    async def _state(self, batch_id: str) -> BatchState:
        return await self._retry(lambda: self.client.batch_state(batch_id), batch_id)

    def _take(self, line: Mapping[str, JsonValue], left: dict[str, int]) -> None:
        """Logs the answer in one line of a result file, if there is one."""
        match line:
            case {"custom_id": str(identity), "response": {"status_code": 200, "body": body}} if identity in left:
                try:
                    answer = read_completion(identity, json.dumps(body))
                except RetryableError:
                    return
                reserved = left.pop(identity)
                charged = self.budget.charge_of(answer.usage, reserved)
                self.log.answered(answer, attempt=self.log.attempts[identity], charged=charged)
                self.budget.settle(reserved, charged)

    def _fail(self, left: Mapping[str, int]) -> None:
        for identity, reserved in left.items():
            self.log.failed(identity, attempt=self.log.attempts[identity], kind="batch", charged=0)
            self.budget.settle(reserved, 0)

    async def _retry(self, call: Callable[[], Awaitable[Result]], key: str) -> Result:
        """The result of a call that is tried again after a failure that may pass."""
        attempt = 1
        while True:
            try:
                return await call()
            except RetryableError as error:
                if attempt == self.settings.max_attempts:
                    raise EndpointError(
                        f"gave up on batch {key} after {attempt} attempts ({error.kind}: {error}); run the "
                        "command again to go on, nothing is lost"
                    ) from error
                wait = backoff_seconds(attempt, settings=self.settings, retry_after=error.retry_after_seconds, key=key)
                await self.sleep(wait)
                attempt += 1
