"""Many requests at once, their answers in request order.

What is under way, retried or logged never changes what comes out: answer i belongs to request i, and the
caller sees it after answers 0 … i-1. A logged answer is not asked for again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator
from dataclasses import dataclass

from bioinstruct.llm.budget import NANO, Budget, estimate_prompt_tokens
from bioinstruct.llm.exchange import (
    BudgetError,
    ChatAnswer,
    ChatClient,
    ChatRequest,
    EndpointError,
    RetryableError,
)
from bioinstruct.llm.limits import RateLimiter
from bioinstruct.llm.request_log import RequestLog

logger = logging.getLogger(__name__)

READ_AHEAD = 4
"""Requests begun or answered beyond the next answer in order, as a multiple of `concurrency`: one slow answer
does not stop the others."""


@dataclass(frozen=True)
class PoolSettings:
    """How hard the endpoint is pressed."""

    concurrency: int
    max_attempts: int
    backoff_seconds: float
    """Wait before the second attempt; doubles with each."""
    max_wait_seconds: float
    """Longest wait between attempts; an endpoint that asks for more is given up."""
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


def run_requests(
    requests: Iterable[ChatRequest],
    *,
    client: ChatClient,
    log: RequestLog,
    budget: Budget,
    settings: PoolSettings,
    ahead: Callable[[], int] | None = None,
) -> Generator[ChatAnswer, None, None]:
    """The answers in request order; `ahead` says how many requests from the next one on are worth sending.

    Closing the iterator waits for requests under way, so that what was paid for is logged. Raises
    EndpointError at once when the endpoint cannot be used, BudgetError in the place of the first request that
    could exceed the cap.
    """
    with asyncio.Runner() as runner:
        pool = _Pool(client, log=log, budget=budget, settings=settings)
        stream = pool.stream(iter(requests), ahead or (lambda: READ_AHEAD * settings.concurrency))
        try:
            while (answer := runner.run(_next(stream))) is not None:
                yield answer
        finally:
            runner.run(_close(stream, client))


def backoff_seconds(attempt: int, *, settings: PoolSettings, retry_after: float | None, key: str) -> float:
    """Wait after failed attempt number `attempt` (from 1): doubles, with jitter, at least what was asked.

    Raises EndpointError if it asks for more than max_wait_seconds.
    """
    if retry_after is not None and retry_after > settings.max_wait_seconds:
        raise EndpointError(
            f"the endpoint asks to wait {retry_after:.0f} s, more than llm.max_wait_seconds="
            f"{settings.max_wait_seconds:g}; run the command again later, answers so far are kept"
        )
    jitter = random.Random(f"{key}/{attempt}").uniform(0.5, 1.0)
    doubled = min(settings.max_wait_seconds, settings.backoff_seconds * 2 ** (attempt - 1))
    return max(retry_after or 0.0, doubled * jitter)


class _Pool:
    """The state that concurrent requests share."""

    def __init__(self, client: ChatClient, *, log: RequestLog, budget: Budget, settings: PoolSettings) -> None:
        self.client = client
        self.log = log
        self.budget = budget
        self.settings = settings
        self.limiter = RateLimiter(
            requests_per_minute=settings.requests_per_minute, tokens_per_minute=settings.tokens_per_minute
        )
        self.settled = asyncio.Condition()
        self.on_the_wire: set[asyncio.Task[ChatAnswer]] = set()
        self.closing = False
        self.pending: deque[asyncio.Future[ChatAnswer]] = deque()
        self.replayed: set[asyncio.Future[ChatAnswer]] = set()
        self.tasks: set[asyncio.Task[ChatAnswer]] = set()
        self.held: ChatRequest | None = None
        self.num_begun = 0
        self.owed: dict[int, int] = {}
        """Worst cost of requests that have no answer and nothing set aside, by their place in the order."""

    async def stream(
        self, requests: Iterator[ChatRequest], ahead: Callable[[], int]
    ) -> AsyncGenerator[ChatAnswer, None]:
        """Answers in request order; closing waits for attempts on the wire, an error drops them too."""
        try:
            while True:
                self._fill(requests, ahead)
                if not self.pending:
                    return
                while not self.pending[0].done():
                    await asyncio.wait(self.tasks, return_when=asyncio.FIRST_COMPLETED)
                    self._raise_fatal()
                    self._fill(requests, ahead)
                first = self.pending.popleft()
                self.replayed.discard(first)
                yield first.result()
        except GeneratorExit:
            await self._end(drop=self.tasks - self.on_the_wire)
            raise
        except BaseException:
            await self._end(drop=self.tasks)
            raise

    def _fill(self, requests: Iterator[ChatRequest], ahead: Callable[[], int]) -> None:
        """Begins as many requests as may be under way.

        A new request waits until the caller has seen the logged answers before it: only then is it known
        whether it is needed, so that a complete log is replayed without sending anything.
        """
        self.tasks -= {task for task in self.tasks if task.done()}
        limit = min(max(1, ahead()), READ_AHEAD * self.settings.concurrency)
        if any(slot.done() and slot.exception() is not None for slot in self.pending):
            return
        while len(self.pending) < limit and len(self.tasks) < self.settings.concurrency:
            request = self.held or next(requests, None)
            self.held = None
            if request is None:
                return
            logged = self.log.answers.get(request.request_id)
            if logged is not None:
                self._replay(logged)
            elif self.replayed:
                self.held = request
                return
            else:
                task = asyncio.get_running_loop().create_task(self._answer(request, self.num_begun))
                self.owed[self.num_begun] = self.budget.price.worst_cost(request)
                self.num_begun += 1
                self.pending.append(task)
                self.tasks.add(task)

    def _replay(self, answer: ChatAnswer) -> None:
        slot = asyncio.get_running_loop().create_future()
        slot.set_result(answer)
        self.pending.append(slot)
        self.replayed.add(slot)

    def _raise_fatal(self) -> None:
        """Raises the EndpointError of any request at once; a BudgetError waits for its place in the order."""
        for slot in self.pending:
            if slot.done() and isinstance(error := slot.exception(), EndpointError):
                raise error

    async def _end(self, *, drop: set[asyncio.Task[ChatAnswer]]) -> None:
        self.closing = True
        for task in drop:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _answer(self, request: ChatRequest, place: int) -> ChatAnswer:
        """A new answer, after as many attempts as it takes."""
        identity = request.request_id
        tokens = estimate_prompt_tokens(request) + request.max_tokens
        for attempt in range(1, self.settings.max_attempts + 1):
            await self.limiter.acquire(tokens)
            try:
                return await self._attempt(request, place)
            except RetryableError as error:
                if attempt == self.settings.max_attempts:
                    raise EndpointError(
                        f"gave up on {identity} after {attempt} attempts ({error.kind}: {error}); "
                        "run the command again to go on, answers so far are kept"
                    ) from error
                wait = backoff_seconds(
                    attempt, settings=self.settings, retry_after=error.retry_after_seconds, key=identity
                )
                logger.debug("%s: %s, waiting %.1f s", identity, error.kind, wait)
                if error.kind == "rate_limit":
                    self.limiter.pause(wait)
                else:
                    await asyncio.sleep(wait)
        raise AssertionError("max_attempts is at least 1")

    async def _attempt(self, request: ChatRequest, place: int) -> ChatAnswer:
        reserved = await self._reserve(place)
        attempt = self.log.sent(request, reserved=reserved)
        task = asyncio.current_task()
        assert task is not None
        self.on_the_wire.add(task)
        charged = reserved
        try:
            reply = await self.client.complete(request)
            self.limiter.observe(reply.headers)
            charged = self.budget.charge_of(reply.answer.usage, reserved)
            self.log.answered(reply.answer, attempt=attempt, charged=charged)
            return reply.answer
        except RetryableError as error:
            charged = reserved if error.maybe_charged else 0
            self.log.failed(request.request_id, attempt=attempt, kind=error.kind, charged=charged)
            if self.closing:
                raise asyncio.CancelledError from error
            self.owed[place] = reserved
            raise
        except EndpointError:
            charged = 0
            self.log.failed(request.request_id, attempt=attempt, kind="refused", charged=0)
            raise
        finally:
            self.on_the_wire.discard(task)
            self.budget.settle(reserved, charged)
            async with self.settled:
                self.settled.notify_all()

    async def _reserve(self, place: int) -> int:
        """Sets the worst cost of a request aside, waiting for others to settle.

        What earlier requests may still need is left alone, so that money never goes to a later answer while an
        earlier one cannot be paid. Raises BudgetError where the request can never fit.
        """
        cost = self.owed[place]
        async with self.settled:
            while True:
                earlier = sum(owed for other, owed in self.owed.items() if other < place)
                if self.budget.reserve(cost, leaving=earlier):
                    del self.owed[place]
                    return cost
                if not self.budget.reserved and not earlier:
                    del self.owed[place]
                    self.settled.notify_all()
                    raise BudgetError(
                        f"budget spent: {self.budget.spent / NANO:.4f} of {(self.budget.cap or 0) / NANO:.4f} "
                        f"dollars are used and the next request may cost {cost / NANO:.4f}; raise "
                        "budget.max_usd and run the command again, answers so far are kept"
                    )
                await self.settled.wait()


async def _next(stream: AsyncGenerator[ChatAnswer, None]) -> ChatAnswer | None:
    return await anext(stream, None)


async def _close(stream: AsyncGenerator[ChatAnswer, None], client: ChatClient) -> None:
    await stream.aclose()
    await client.close()
