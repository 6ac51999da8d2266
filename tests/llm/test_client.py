"""Keys, addresses, headers and bodies that the client accepts or refuses, without a network."""

from __future__ import annotations

from email.utils import formatdate
from time import time

import pytest

from bioinstruct.config.building import LlmConfig
from bioinstruct.errors import PrerequisiteError, UserError
from bioinstruct.llm.completion import read_completion
from bioinstruct.llm.exchange import RetryableError, Usage
from bioinstruct.llm_client import OpenAiClient, read_key, retry_after_seconds

VARIABLE = "CLIENT_TEST_KEY"


def test_a_key_is_needed_where_the_endpoint_is_not_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert read_key(LlmConfig(base_url="http://127.0.0.1:1/v1", api_key_env=VARIABLE)) == "none"
    with pytest.raises(PrerequisiteError, match="set the environment variable CLIENT_TEST_KEY"):
        read_key(LlmConfig(base_url="https://api.openai.com/v1", api_key_env=VARIABLE))


@pytest.mark.parametrize(
    ("url", "message"), [("localhost:8000", "is no URL"), ("http://user:secret@host/v1", "holds credentials")]
)
def test_bad_addresses_are_refused_without_repeating_a_secret(url: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        OpenAiClient(LlmConfig(base_url=url, api_key_env=VARIABLE))
    assert "secret" not in str(caught.value)


def test_retry_after_is_read_in_seconds_milliseconds_and_as_a_date() -> None:
    assert retry_after_seconds({"retry-after": "2.5"}) == 2.5
    assert retry_after_seconds({"retry-after-ms": "1500", "retry-after": "9"}) == 1.5
    assert retry_after_seconds({"retry-after": formatdate(time() + 60, usegmt=True)}) == pytest.approx(60, abs=2)
    assert retry_after_seconds({"retry-after": "soon"}) is None
    assert retry_after_seconds({}) is None


def test_a_completion_becomes_an_answer_with_usage() -> None:
    body = (
        '{"model": "m-1", "usage": {"prompt_tokens": 3, "completion_tokens": 4},'
        ' "choices": [{"finish_reason": "length", "message": {"content": "Hi"}}]}'
    )
    answer = read_completion("r", body)
    assert (answer.text, answer.finish, answer.usage, answer.model) == ("Hi", "length", Usage(3, 4), "m-1")


def test_a_refusal_counts_as_filtered() -> None:
    body = '{"choices": [{"finish_reason": "stop", "message": {"content": null, "refusal": "No."}}]}'
    assert read_completion("r", body).finish == "content_filter"


@pytest.mark.parametrize("body", ["{", "[]", '{"choices": []}', '{"choices": [{"message": {"content": 3}}]}'])
def test_a_body_without_an_answer_may_be_asked_for_again_and_may_have_cost(body: str) -> None:
    with pytest.raises(RetryableError) as caught:
        read_completion("r", body)
    assert caught.value.maybe_charged
