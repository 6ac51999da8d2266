"""From the body of a chat completion to an answer."""

from __future__ import annotations

import json

from bioinstruct.llm.exchange import ChatAnswer, Finish, RetryableError, read_usage

FINISHES: dict[str, Finish] = {"stop": "stop", "length": "length", "content_filter": "content_filter"}


def read_completion(request_id: str, text: str) -> ChatAnswer:
    """The answer in the body of a chat completion; RetryableError for a body that is none."""
    try:
        body = json.loads(text)
    except json.JSONDecodeError as error:
        raise RetryableError("malformed", f"the body is not JSON ({error})", maybe_charged=True) from None
    match body:
        case {
            "choices": [{"message": {"content": None | str() as content} as message, **choice}, *_],
            **rest,
        }:
            finish = FINISHES.get(str(choice.get("finish_reason")), "stop")
            refused = content is None and message.get("refusal")
            model = rest.get("model")
            return ChatAnswer(
                request_id,
                content or "",
                "content_filter" if refused else finish,
                read_usage(rest.get("usage")),
                model if isinstance(model, str) else "",
            )
        case _:
            raise RetryableError("malformed", "the body holds no answer", maybe_charged=True)
