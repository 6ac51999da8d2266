"""The backend over any OpenAI-compatible server: option likelihoods from echoed completions, answers from chats.

Option likelihoods need the served model's tokenizer here, since contexts and continuations are cut at tokens, and a
server that repeats a prompt of token ids with its log-probabilities (vLLM does). Answers need neither: the rendered
prompt is one user message, and the server applies its own chat template.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from transformers import PreTrainedTokenizerBase

from bioinstruct.config.building import LlmConfig
from bioinstruct.encoding import encode_pairs
from bioinstruct.errors import PrerequisiteError
from bioinstruct.likelihood import Path, make_path
from bioinstruct.llm.exchange import ChatAnswer, ChatRequest, EndpointError, Reply, RetryableError
from bioinstruct.llm.pool import backoff_seconds
from bioinstruct.llm.sending import pool_settings
from bioinstruct.tasks.base import Generation, LogLikelihood

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Client(Protocol):
    """What sends one request once: OpenAiClient, or a fake of it."""

    async def complete(self, request: ChatRequest) -> Reply:
        """The reply to a chat request."""

    async def echo(self, token_ids: Sequence[int]) -> str:
        """The body of a completion that repeats the prompt with its log-probabilities."""

    async def close(self) -> None:
        """Closes open connections."""


class OpenAiBackend:
    """Backend over the endpoint of an LlmConfig; its temperature, top_p and max_tokens are not used: greedy.

    `open_client` makes a client for each call: usually `lambda: OpenAiClient(llm)`.
    """

    def __init__(
        self,
        open_client: Callable[[], Client],
        llm: LlmConfig,
        *,
        max_length_tokens: int,
        tokenizer: PreTrainedTokenizerBase | None = None,
    ) -> None:
        self._open_client = open_client
        self._llm = llm
        self._max_length_tokens = max_length_tokens
        self._tokenizer = tokenizer

    @property
    def fingerprint(self) -> str:
        """Endpoint and model name: what the server holds under that name cannot be seen from here."""
        return f"{self._llm.base_url} {self._llm.model}"

    def loglikelihood(self, pairs: Sequence[tuple[str, str]]) -> list[LogLikelihood]:
        """Log-likelihoods of (context, continuation) pairs, in order.

        Raises PrerequisiteError without a tokenizer, or where the server gives no log-probabilities of prompts.
        """
        if self._tokenizer is None:
            raise PrerequisiteError(
                f"option likelihoods of {self._llm.model!r} need its tokenizer; set model.id to it, or choose a "
                "protocol whose answers are written, such as alpaca_generate"
            )
        encoded = encode_pairs(self._tokenizer, pairs)
        limit = self._max_length_tokens - 2  # the last token is sent too, and the server adds one
        paths = [make_path(pair.context, pair.continuation, max_length_tokens=limit) for pair in encoded]

        async def ask(client: Client, path: Path) -> str:
            return await client.echo([*path.inputs, path.targets[-1]])

        bodies = self._ask_all(ask, paths)
        return [
            _read_likelihood(body, path, boundary_is_joint=pair.joint)
            for body, path, pair in zip(bodies, paths, encoded, strict=True)
        ]

    def generate(self, prompts: Sequence[str], *, max_new_tokens: int, stop: Sequence[str]) -> list[Generation]:
        """Answers to the prompts at temperature 0, in order; `num_tokens` is 0 where the server does not say."""

        async def ask(client: Client, prompt: str) -> ChatAnswer:
            request = ChatRequest(
                messages=(("user", prompt),),
                model=self._llm.model,
                max_tokens=max_new_tokens,
                temperature=0.0,
                stop=tuple(stop),
            )
            return (await client.complete(request)).answer

        return [
            Generation(
                answer.text,
                answer.usage.completion_tokens if answer.usage else 0,
                "length" if answer.finish == "length" else "stop",
            )
            for answer in self._ask_all(ask, prompts)
        ]

    def _ask_all(
        self, ask: Callable[[Client, Question], Awaitable[Answer]], questions: Sequence[Question]
    ) -> list[Answer]:
        """Answers in order, `llm.concurrency` requests at once, each tried `llm.max_attempts` times."""

        async def run() -> list[Answer]:
            client = self._open_client()
            gate = asyncio.Semaphore(self._llm.concurrency)

            async def one(number: int, question: Question) -> Answer:
                async with gate:
                    return await self._retried(lambda: ask(client, question), key=str(number))

            try:
                return await asyncio.gather(*(one(n, question) for n, question in enumerate(questions)))
            finally:
                await client.close()

        return asyncio.run(run())

    async def _retried(self, ask: Callable[[], Awaitable[Answer]], *, key: str) -> Answer:
        """The answer of one request. Raises EndpointError when the last attempt fails."""
        attempt = 1
        while True:
            try:
                return await ask()
            except RetryableError as error:
                if attempt == self._llm.max_attempts:
                    raise EndpointError(
                        f"{self._llm.base_url} failed {attempt} times, at last: {error}; run the command again "
                        "later, answers so far are kept"
                    ) from error
                wait = backoff_seconds(
                    attempt, settings=pool_settings(self._llm), retry_after=error.retry_after_seconds, key=key
                )
            await asyncio.sleep(wait)
            attempt += 1


def _read_likelihood(body: str, path: Path, *, boundary_is_joint: bool) -> LogLikelihood:
    """The continuation's part of an echoed completion: one entry for each token sent, and one for the added."""
    num_sent = len(path.inputs) + 1
    match json.loads(body):
        case {"choices": [{"logprobs": {"token_logprobs": [*values], "top_logprobs": [*tops]}}, *_]} if num_sent <= len(
            values
        ) <= num_sent + 1 and len(values) == len(tops):
            part = slice(num_sent - len(path.targets), num_sent)
        case _:
            raise PrerequisiteError(
                "the server does not repeat prompts with log-probabilities (completions with echo and logprobs); "
                "use one that does, such as vLLM, or a protocol whose answers are written, such as alpaca_generate"
            )
    return LogLikelihood(
        logprob=sum(values[part]),
        num_tokens=len(path.targets),
        is_greedy=all(value >= max(top.values()) for value, top in zip(values[part], tops[part], strict=True)),
        boundary="joint" if boundary_is_joint else "separate",
        num_truncated_tokens=path.num_truncated_tokens,
    )
