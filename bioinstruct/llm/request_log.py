"""The write-ahead log of requests: JSON Lines, appended before and after every attempt.

    {"event": "sent", "id": …, "attempt": 1, "reserved": …, "request": {…}}
    {"event": "answer", "id": …, "attempt": 1, "text": …, "finish": …, "usage": {…}, "model": …, "charged": …}
    {"event": "failed", "id": …, "attempt": 1, "kind": "timeout", "charged": …}

Money is in billionths of a dollar. An attempt that was sent and has no second line was under way when the
process died: it counts as spent in full. A line torn by a crash is cut off on opening.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bioinstruct.errors import UserError
from bioinstruct.llm.exchange import ChatAnswer, ChatRequest, read_usage
from bioinstruct.runs import JsonValue


@dataclass
class LoggedBatch:
    """A batch as far as the log knows it."""

    request_ids: list[str]
    batch_id: str | None = None
    """None where the process died before the endpoint's id arrived."""
    ended: bool = False


class RequestLog:
    """An open log: answers found in it, what was spent, and the attempts so far. One process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[str, ChatAnswer] = {}
        self.attempts: dict[str, int] = {}
        self.batches: dict[str, LoggedBatch] = {}
        """Batches by their key."""
        self._open: dict[tuple[str, int], int] = {}
        self._charged = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise UserError(f"{path} is in use by another process; wait for it, or choose another name=") from error
        self._load()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def spent(self) -> int:
        """Billionths of a dollar charged, with all that attempts without an end may have cost."""
        return self._charged + sum(self._open.values())

    def sent(self, request: ChatRequest, *, reserved: int) -> int:
        """Notes that an attempt is about to be sent and returns its number, from 1."""
        identity = request.request_id
        attempt = self.attempts.get(identity, 0) + 1
        row: dict[str, JsonValue] = {
            "event": "sent",
            "id": identity,
            "attempt": attempt,
            "reserved": reserved,
        }
        if attempt == 1:
            row["request"] = request.payload("max_tokens")
        self._append(row, durable=False)
        return attempt

    def answered(self, answer: ChatAnswer, *, attempt: int, charged: int) -> None:
        """Notes the raw answer; it is on disk when this returns, and never asked for again."""
        usage = None if answer.usage is None else dict(answer.usage._asdict())
        row: dict[str, JsonValue] = {
            "event": "answer",
            "id": answer.request_id,
            "attempt": attempt,
            "text": answer.text,
            "finish": answer.finish,
            "usage": usage,
            "model": answer.model,
            "charged": charged,
        }
        self._append(row, durable=True)

    def failed(self, request_id: str, *, attempt: int, kind: str, charged: int) -> None:
        """Notes an attempt without an answer."""
        self._append(
            {"event": "failed", "id": request_id, "attempt": attempt, "kind": kind, "charged": charged},
            durable=False,
        )

    def reserved(self, request_id: str) -> int:
        """What the last attempt of a request may cost, as long as it has no end in the log."""
        return self._open.get((request_id, self.attempts[request_id]), 0)

    def batch_begins(self, key: str, *, request_ids: list[str]) -> None:
        """Notes that a batch of requests, each noted as sent, is about to be created."""
        self._append({"event": "batch_begins", "key": key, "ids": [*request_ids]}, durable=True)

    def batch_created(self, key: str, *, batch_id: str) -> None:
        """Notes the id that the endpoint gave a batch."""
        self._append({"event": "batch_created", "key": key, "batch_id": batch_id}, durable=True)

    def batch_ended(self, key: str) -> None:
        """Notes that everything a batch brought is in the log."""
        self._append({"event": "batch_ended", "key": key}, durable=True)

    def _append(self, row: Mapping[str, JsonValue], *, durable: bool) -> None:
        self._file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        if durable:
            os.fsync(self._file.fileno())
        self._apply(row)

    def _load(self) -> None:
        self._file.seek(0)
        content = self._file.read()
        complete = content.rfind(b"\n") + 1
        if complete < len(content):
            self._file.truncate(complete)
        for number, line in enumerate(content[:complete].splitlines(), 1):
            try:
                self._apply(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(f"{self.path}, line {number}: not a line of a request log ({error})") from error

    def _apply(self, row: Mapping[str, JsonValue]) -> None:
        match row:
            case {"event": "batch_begins", "key": str(key), "ids": list(ids)}:
                self.batches[key] = LoggedBatch([str(identity) for identity in ids])
            case {"event": "batch_created", "key": str(key), "batch_id": str(batch_id)}:
                self.batches[key].batch_id = batch_id
            case {"event": "batch_ended", "key": str(key)}:
                self.batches[key].ended = True
            case {"event": "sent", "id": str(identity), "attempt": int(attempt), "reserved": int(reserved)}:
                self.attempts[identity] = attempt
                self._open[identity, attempt] = reserved
            case {"event": "failed", "id": str(identity), "attempt": int(attempt), "charged": int(charged)}:
                self._settle(identity, attempt, charged)
            case {"event": "answer", "id": str(identity), "attempt": int(attempt), "charged": int(charged)}:
                self._settle(identity, attempt, charged)
                self.answers[identity] = _read_answer(row)
            case _:
                raise ValueError(f"unknown event {row.get('event')!r}")

    def _settle(self, identity: str, attempt: int, charged: int) -> None:
        self._open.pop((identity, attempt), None)
        self._charged += charged


def _read_answer(row: Mapping[str, JsonValue]) -> ChatAnswer:
    match row:
        case {
            "id": str(identity),
            "text": str(text),
            "finish": ("stop" | "length" | "content_filter") as finish,
            "usage": usage,
            "model": str(model),
        }:
            return ChatAnswer(identity, text, finish, read_usage(usage), model)
        case _:
            raise ValueError("malformed answer")
