"""The client of an OpenAI-compatible endpoint: the only file that imports openai.

One call sends one request once (the library's own retries are off); every failure becomes one of two types,
so that nothing is retried for ever and nothing counts as an answer that is none.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from time import time
from urllib.parse import urlsplit

import openai
from openai import AsyncOpenAI

from bioinstruct.config.building import LlmConfig
from bioinstruct.errors import PrerequisiteError, UserError
from bioinstruct.llm.completion import read_completion
from bioinstruct.llm.exchange import (
    BatchState,
    ChatAnswer,
    ChatRequest,
    EndpointError,
    Reply,
    RetryableError,
)
from bioinstruct.runs import JsonValue

NO_KEY = "none"
"""Sent to servers that need no key."""

FATAL_CODES = ("insufficient_quota", "billing_hard_limit_reached", "account_deactivated")
"""Codes that come with status 429 and do not pass by waiting."""


class OpenAiClient:
    """A ChatClient for one endpoint, and the four calls that the Batch API needs."""

    def __init__(self, config: LlmConfig) -> None:
        parts = urlsplit(config.base_url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise UserError(f"llm.base_url={config.base_url!r} is no URL; write http(s)://host[:port]/v1")
        if parts.username or parts.password:
            raise UserError(f"llm.base_url holds credentials; put the key into the variable {config.api_key_env}")
        self._config = config
        self._key = read_key(config)
        for noisy in ("openai", "httpx", "httpx2", "httpcore", "httpcore2"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        self._client = AsyncOpenAI(
            api_key=self._key, base_url=config.base_url, max_retries=0, timeout=config.timeout_seconds
        )

    async def complete(self, request: ChatRequest) -> Reply:
        """The reply to one request, sent once."""
        try:
            raw = await self._client.chat.completions.with_raw_response.create(
                model=request.model,
                messages=[],  # filled by extra_body, which is merged over the arguments
                extra_body=request.payload(self._config.max_tokens_field.value),
                extra_headers={"X-Client-Request-Id": request.request_id},
            )
            text = raw.text
        except openai.OpenAIError as error:
            if is_content_filter(error):
                return Reply(ChatAnswer(request.request_id, "", "content_filter", None, request.model))
            raise self._classify(error) from None
        headers = {name.lower(): value for name, value in raw.headers.items()}
        return Reply(read_completion(request.request_id, text), headers)

    async def echo(self, token_ids: Sequence[int]) -> str:
        """The body of a completion that repeats a prompt with its log-probabilities, and one token more."""
        try:
            raw = await self._client.completions.with_raw_response.create(
                model=self._config.model,
                prompt=list(token_ids),
                max_tokens=1,  # some servers refuse 0
                temperature=0.0,
                logprobs=1,
                echo=True,
            )
            text = raw.text
        except openai.OpenAIError as error:
            raise self._classify(error) from None
        return text

    async def close(self) -> None:
        """Closes open connections."""
        await self._client.close()

    async def create_batch(self, requests: Sequence[ChatRequest], *, key: str) -> str:
        """Uploads the requests and starts a batch that carries `key` in its metadata; its id."""
        field = self._config.max_tokens_field.value
        lines = [
            {
                "custom_id": r.request_id,
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": r.payload(field),
            }
            for r in requests
        ]
        content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
        try:
            file = await self._client.files.create(file=(f"{key}.jsonl", content), purpose="batch")
            batch = await self._client.batches.create(
                input_file_id=file.id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={"key": key},
            )
        except openai.OpenAIError as error:
            raise self._classify(error) from None
        return str(batch.id)

    async def find_batch(self, key: str) -> str | None:
        """The id of the batch with this key, or None if it was never created."""
        try:
            async for batch in self._client.batches.list(limit=100):
                if (batch.metadata or {}).get("key") == key:
                    return str(batch.id)
        except openai.OpenAIError as error:
            raise self._classify(error) from None
        return None

    async def batch_state(self, batch_id: str) -> BatchState:
        """How far a batch is."""
        try:
            batch = await self._client.batches.retrieve(batch_id)
        except openai.OpenAIError as error:
            raise self._classify(error) from None
        return BatchState(batch.status, batch.output_file_id, batch.error_file_id)

    async def read_lines(self, file_id: str) -> list[Mapping[str, JsonValue]]:
        """The JSON lines of a result file."""
        try:
            content = await self._client.files.content(file_id)
        except openai.OpenAIError as error:
            raise self._classify(error) from None
        return [json.loads(line) for line in content.text.splitlines() if line.strip()]

    def _classify(self, error: openai.OpenAIError) -> RetryableError | EndpointError | PrerequisiteError:
        """The error to raise; the key never stands in its message."""
        message = str(error).replace(self._key, "***") if self._key != NO_KEY else str(error)
        message = " ".join(message.split())[:300]
        match error:
            case openai.APITimeoutError():
                return RetryableError("timeout", message, maybe_charged=not never_connected(error))
            case openai.APIConnectionError():
                return RetryableError("connection", message, maybe_charged=not never_connected(error))
            case openai.RateLimitError() if error.code not in FATAL_CODES:
                wait = retry_after_seconds(error.response.headers)
                return RetryableError("rate_limit", message, retry_after_seconds=wait, maybe_charged=False)
            case openai.AuthenticationError() | openai.PermissionDeniedError():
                return EndpointError(
                    f"{self._config.base_url} refuses the key in ${self._config.api_key_env} ({message}); "
                    "set the variable to a valid key"
                )
            case openai.NotFoundError():
                return EndpointError(
                    f"{self._config.base_url} does not know llm.model={self._config.model!r} ({message})"
                )
            case openai.APIStatusError() if error.status_code in (408, 409) or error.status_code >= 500:
                wait = retry_after_seconds(error.response.headers)
                return RetryableError("server", message, retry_after_seconds=wait, maybe_charged=False)
            case openai.APIResponseValidationError():
                return RetryableError("malformed", message, maybe_charged=True)
            case _:
                return EndpointError(f"{self._config.base_url} refuses the request: {message}")


def read_key(config: LlmConfig) -> str:
    """The key from the environment; PrerequisiteError where an https endpoint needs one and there is none."""
    key = os.environ.get(config.api_key_env, "").strip()
    if not key and config.base_url.startswith("https://"):
        raise PrerequisiteError(
            f"no API key: set the environment variable {config.api_key_env} (llm.api_key_env names it), or "
            "use an endpoint of your own: llm=local llm.base_url=http://127.0.0.1:8000/v1"
        )
    return key or NO_KEY


def is_content_filter(error: openai.OpenAIError) -> bool:
    """Whether a refused request was stopped by a content filter (Azure answers status 400)."""
    return isinstance(error, openai.BadRequestError) and error.code == "content_filter"


def never_connected(error: openai.OpenAIError) -> bool:
    """Whether the request cannot have reached the endpoint."""
    return type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout")


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Seconds of `retry-after-ms` or `Retry-After` (a number or an HTTP date), None without them."""
    milliseconds, value = headers.get("retry-after-ms"), headers.get("retry-after")
    try:
        if milliseconds is not None:
            return max(0.0, float(milliseconds) / 1000)
        return None if value is None else max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value or "").timestamp() - time())
    except ValueError:
        return None
