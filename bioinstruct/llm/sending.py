"""From a configured endpoint to answers: pool or Batch API, with price, budget and settings."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Protocol

from bioinstruct.config.building import BudgetConfig, LlmConfig, LlmMode, PricesConfig
from bioinstruct.errors import UserError
from bioinstruct.llm.batches import run_batches
from bioinstruct.llm.budget import Budget, Price, find_price
from bioinstruct.llm.exchange import BatchClient, ChatAnswer, ChatClient, ChatRequest
from bioinstruct.llm.pool import PoolSettings, run_requests
from bioinstruct.llm.request_log import RequestLog


class EndpointClient(ChatClient, BatchClient, Protocol):
    """A client for single requests and for batches."""


def model_price(llm: LlmConfig, prices: PricesConfig, *, capped: bool) -> Price:
    """The price of the configured model and mode; UserError if a cap needs one that is unknown."""
    table = {name: Price(price.input_usd, price.output_usd) for name, price in prices.models.items()}
    price = find_price(llm.model, table, capped=capped)
    discount = prices.batch_discount if llm.mode is LlmMode.batch else 1.0
    return Price(price.input_usd * discount, price.output_usd * discount)


def pool_settings(llm: LlmConfig) -> PoolSettings:
    """How hard the endpoint is pressed, from its configuration."""
    return PoolSettings(
        concurrency=llm.concurrency,
        max_attempts=llm.max_attempts,
        backoff_seconds=llm.backoff_seconds,
        max_wait_seconds=llm.max_wait_seconds,
        requests_per_minute=llm.requests_per_minute,
        tokens_per_minute=llm.tokens_per_minute,
    )


@dataclass(frozen=True)
class Sender:
    """A configured endpoint."""

    llm: LlmConfig
    prices: PricesConfig
    client: EndpointClient

    def open_budget(self, budget: BudgetConfig, log: RequestLog) -> Budget:
        """The budget with what the log says was spent before."""
        price = model_price(self.llm, self.prices, capped=budget.max_usd is not None)
        return Budget(max_usd=budget.max_usd, price=price, spent=log.spent)

    def send(
        self, requests: Iterable[ChatRequest], *, log: RequestLog, budget: Budget, ahead: Callable[[], int]
    ) -> Generator[ChatAnswer, None, None]:
        """The answers in request order, by the configured mode; see run_requests and run_batches."""
        settings = pool_settings(self.llm)
        if self.llm.mode is LlmMode.batch:
            yield from run_batches(
                requests,
                client=self.client,
                log=log,
                budget=budget,
                settings=settings,
                poll_seconds=self.llm.batch_poll_seconds,
                ahead=ahead,
            )
            return
        if any(not batch.ended for batch in log.batches.values()):
            raise UserError(f"{log.path} has a batch under way; go on with llm.mode=batch until it has ended")
        yield from run_requests(requests, client=self.client, log=log, budget=budget, settings=settings, ahead=ahead)
