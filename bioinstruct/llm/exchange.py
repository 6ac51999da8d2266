"""Requests, answers and errors of a chat endpoint, and the protocol of a client."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from bioinstruct.errors import UserError
from bioinstruct.runs import JsonValue

Finish = Literal["stop", "length", "content_filter"]


@dataclass(frozen=True)
class ChatRequest:
    """One request with everything that decides its answer, the model's name included."""

    messages: tuple[tuple[str, str], ...]
    """(role, content) pairs."""
    model: str
    max_tokens: int
    """Most tokens of the answer."""
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    json_schema: Mapping[str, JsonValue] | None = None
    """JSON schema that the answer must follow (structured output), or None for free text."""
    name: str = "request"
    """What the request is, for its id; does not reach the endpoint."""

    @property
    def request_id(self) -> str:
        """`<name>-<16 hex of the content>`: the same request has the same id in every run and mode."""
        content = json.dumps([self.payload("max_tokens"), self.model], sort_keys=True, ensure_ascii=False)
        return f"{self.name}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"

    def payload(self, max_tokens_field: str) -> dict[str, JsonValue]:
        """The body of the HTTP request."""
        body: dict[str, JsonValue] = {
            "model": self.model,
            "messages": [{"role": role, "content": content} for role, content in self.messages],
            max_tokens_field: self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
        }
        if self.stop:
            body["stop"] = list(self.stop)
        if self.json_schema is not None:
            schema: dict[str, JsonValue] = {
                "name": "answer",
                "strict": True,
                "schema": dict(self.json_schema),
            }
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body


class Usage(NamedTuple):
    """Tokens that an answer cost."""

    prompt_tokens: int
    completion_tokens: int


def read_usage(value: object) -> Usage | None:
    """The usage in a JSON value, or None where it reports none."""
    match value:
        case {"prompt_tokens": int(prompt), "completion_tokens": int(completion)}:
            return Usage(prompt, completion)
        case _:
            return None


@dataclass(frozen=True)
class ChatAnswer:
    """The raw answer to one request; a filtered one has the text that there was, or none."""

    request_id: str
    text: str
    finish: Finish
    usage: Usage | None
    """None where the endpoint did not say."""
    model: str
    """The model as the endpoint names it."""


@dataclass(frozen=True)
class Reply:
    """An answer with the response headers (lower-case names) that feed the rate limits."""

    answer: ChatAnswer
    headers: Mapping[str, str] = field(default_factory=dict)


class RetryableError(Exception):
    """A failure that may pass: another attempt is worth it."""

    def __init__(
        self, kind: str, message: str, *, retry_after_seconds: float | None = None, maybe_charged: bool
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after_seconds = retry_after_seconds
        self.maybe_charged = maybe_charged
        """Whether the endpoint may have computed, and charged for, an answer that did not arrive."""


class EndpointError(UserError):
    """The endpoint cannot be used as configured; no further request is sent."""


class BudgetError(UserError):
    """The next request could exceed the budget; no further request is sent."""


class ChatClient(Protocol):
    """What sends one request once."""

    async def complete(self, request: ChatRequest) -> Reply:
        """The reply. Raises RetryableError for what may pass, EndpointError for what will not."""

    async def close(self) -> None:
        """Closes open connections."""


class BatchState(NamedTuple):
    """State of a batch at the endpoint; the files are known once there are results."""

    status: str
    output_file_id: str | None
    error_file_id: str | None


class BatchClient(Protocol):
    """What carries batches of requests."""

    async def create_batch(self, requests: Sequence[ChatRequest], *, key: str) -> str:
        """Starts a batch that carries `key` in its metadata; its id."""

    async def find_batch(self, key: str) -> str | None:
        """The id of the batch with this key, or None if it was never created."""

    async def batch_state(self, batch_id: str) -> BatchState:
        """How far a batch is."""

    async def read_lines(self, file_id: str) -> list[Mapping[str, JsonValue]]:
        """The JSON lines of a result file."""

    async def close(self) -> None:
        """Closes open connections."""
