"""What requests cost, at worst and in fact, in whole billionths of a dollar, and the cap on their sum."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from bioinstruct.errors import UserError
from bioinstruct.llm.exchange import ChatRequest, Usage

NANO = 1_000_000_000
"""Billionths of a dollar in a dollar: sums of integers do not depend on their order."""

TOKENS_PER_MESSAGE = 16
TOKENS_PER_REQUEST = 64
"""Generous allowances for what an endpoint adds around messages and around the schema [C]."""

CHARACTERS_PER_TOKEN = 4.0
"""Rule of thumb for English with OpenAI's tokenizers; for estimates only, never for the cap."""


@dataclass(frozen=True)
class Price:
    """Dollars per million tokens."""

    input_usd: float
    output_usd: float

    def cost(self, prompt_tokens: float, completion_tokens: float) -> int:
        """Cost in billionths of a dollar, rounded up."""
        dollars_times_million = self.input_usd * prompt_tokens + self.output_usd * completion_tokens
        return math.ceil(round(dollars_times_million * NANO / 1_000_000, 3))

    def worst_cost(self, request: ChatRequest) -> int:
        """More than the request can cost: byte-level tokenizers make at most one token of a byte."""
        return self.cost(count_request_bytes(request), request.max_tokens)


def count_request_bytes(request: ChatRequest) -> int:
    """UTF-8 bytes of messages and schema with allowances: an upper bound of the prompt's tokens."""
    schema = json.dumps(request.json_schema) if request.json_schema is not None else ""
    texts = sum(len(content.encode()) + TOKENS_PER_MESSAGE for _, content in request.messages)
    return texts + len(schema.encode()) + TOKENS_PER_REQUEST


def estimate_prompt_tokens(request: ChatRequest) -> int:
    """A likely number of prompt tokens, by characters."""
    return math.ceil(count_request_bytes(request) / CHARACTERS_PER_TOKEN)


def find_price(model: str, prices: Mapping[str, Price], *, capped: bool) -> Price:
    """The price of a model; nothing is charged for an unknown one unless a cap needs it (UserError)."""
    if model in prices:
        return prices[model]
    if capped:
        raise UserError(
            f"budget.max_usd needs the price of llm.model={model!r}; prices.models has: "
            f"{', '.join(sorted(prices))}. Add one, in dollars per million tokens (0: your own server): "
            f"'+prices.models={{{model}: {{input_usd: 1.0, output_usd: 2.0}}}}'"
        )
    return Price(0.0, 0.0)


class Budget:
    """Counts what is spent and what requests under way may cost; both together never exceed the cap."""

    def __init__(self, *, max_usd: float | None, price: Price, spent: int = 0) -> None:
        self.price = price
        self.cap = None if max_usd is None else math.floor(max_usd * NANO)
        self.spent = spent
        self.reserved = 0

    def reserve(self, cost: int, *, leaving: int = 0) -> bool:
        """Sets `cost` aside if it fits under the cap with `leaving` to spare."""
        if self.cap is not None and self.spent + self.reserved + cost + leaving > self.cap:
            return False
        self.reserved += cost
        return True

    def settle(self, reserved: int, charged: int) -> None:
        """Turns a reservation into what was charged."""
        self.reserved -= reserved
        self.spent += charged

    def charge_of(self, usage: Usage | None, reserved: int) -> int:
        """Cost by the reported usage; without a report, all that was set aside."""
        return reserved if usage is None else self.price.cost(*usage)
