"""A server on the loopback that speaks the OpenAI protocol and injects faults; stdlib only.

Answers depend on the request alone, so a run with faults must end as one without. A fault depends on the request
and on how often it came; after MAX_FAULTS of them a request is answered.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

MAX_FAULTS = 2
ERRORS = ("429", "429_retry_after", "500", "cut", "malformed")
"""Faults that take no time; a server that is too slow ("timeout") is asked for where it is wanted."""
VERBS = ("Which", "Extract", "Write a letter about")
"""One task in three is a question, an extraction, a text: the offline categoriser tells them apart."""
NOUNS = ("dose", "risk", "cause", "trial", "symptom", "enzyme", "receptor", "biopsy", "fracture", "vaccine")
PLACES = ("liver", "kidney", "lung", "retina", "spleen", "artery", "neuron", "marrow", "thyroid", "bladder")
PEOPLE = ("children", "nurses", "elders", "athletes", "donors", "smokers", "mothers", "surgeons", "readers", "twins")


def make_tasks(identity: str, *, number: int) -> list[dict[str, str]]:
    """Tasks that depend on `identity` only; some too short, some asked everywhere alike."""
    rng = random.Random(identity)
    tasks = []
    for position in range(number):
        verb = VERBS[position % 3]
        words = [*rng.sample(NOUNS, 2), *rng.sample(PLACES, 2), *rng.sample(PEOPLE, 2), str(rng.randrange(1000))]
        kind = rng.random()
        instruction = " ".join([verb, *words])
        if kind < 0.2:
            instruction = "Say why water matters" if kind < 0.1 else "Too short"
        source = f"{words[0]}, {words[2]}, {words[4]}." if verb == "Extract" else ""
        answers = {"Which": words[0], "Extract": f"{words[0]}\n{words[2]}"}
        output = answers.get(verb, f"Dear reader, this letter is about {' '.join(words)}. " * 4)
        tasks.append({"instruction": instruction, "input": source, "output": f"{output} ({identity} {position})"})
    return tasks


@dataclass
class ServerState:
    """What happened so far, and how the server behaves."""

    fault_share: float = 0.0
    errors: tuple[str, ...] = ERRORS
    timeout_seconds: float = 1.2
    odd_answers: bool = True
    """Whether some answers are truncated, filtered or no JSON."""
    refuse: str | None = None
    """401, 404 or quota: every request is refused so."""
    delay_seconds: float = 0.005
    lock: threading.Lock = field(default_factory=threading.Lock)
    received: Counter[str] = field(default_factory=Counter)
    """Requests by id, faults included."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Tokens of every answer that was computed, whether it arrived or not."""
    keys: set[str] = field(default_factory=set)
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, object]] = field(default_factory=dict)


def complete(body: dict[str, object], identity: str, state: ServerState) -> dict[str, object]:
    """The chat completion for a request; counts its tokens."""
    prompt = json.dumps(body["messages"])
    rng = random.Random(f"odd/{identity}")
    tasks = make_tasks(identity, number=6)
    finish, kind = "stop", rng.choice(("truncated", "filtered", "no_json", *["good"] * 9))
    if "response_format" in body:
        text = json.dumps({"tasks": tasks})
    else:
        first = max(int(n) for n in re.findall(r"(\d+)\. Instruction:", prompt))
        text = "\n###\n".join(
            f"{n}. Instruction: {t['instruction']}\n{n}. Input:\n<noinput>\n{n}. Output:\n{t['output']}"
            for n, t in enumerate(tasks, first)
        ).removeprefix(f"{first}. Instruction:")
    if state.odd_answers and kind == "truncated":
        finish, text = "length", text[: len(text) // 2]
    elif state.odd_answers and kind == "filtered":
        finish, text = "content_filter", ""
    elif state.odd_answers and kind == "no_json":
        text = "I am sorry, here are your tasks: none."
    usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": len(text) // 4 + 1}
    with state.lock:
        state.prompt_tokens += usage["prompt_tokens"]
        state.completion_tokens += usage["completion_tokens"]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}],
        "usage": usage,
    }


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: FaultServer

    def log_message(self, *_: object) -> None:
        """Nothing: the state is the log."""

    def do_POST(self) -> None:
        state = self.server.state
        content = self.rfile.read(int(self.headers["Content-Length"]))
        state.keys.add(self.headers.get("Authorization", ""))
        if self._refused(state):
            return
        if self.path == "/v1/files":
            self._store_file(content)
        elif self.path == "/v1/batches":
            self._create_batch(json.loads(content))
        else:
            self._chat(json.loads(content), state)

    def do_GET(self) -> None:
        state = self.server.state
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[1] == "files":
            self._send_bytes(200, state.files[parts[2]])
        elif len(parts) == 2:
            self._send(200, {"object": "list", "data": list(state.batches.values()), "has_more": False})
        else:
            batch = state.batches[parts[2]]
            reply = dict(batch)
            batch["status"] = "completed"
            self._send(200, reply)

    def _refused(self, state: ServerState) -> bool:
        sent = self.headers.get("Authorization", "")
        errors = {
            "401": (401, "invalid_api_key", f"Incorrect API key provided: {sent}"),
            "404": (404, "model_not_found", "The model does not exist"),
            "quota": (429, "insufficient_quota", "You exceeded your current quota"),
        }
        if state.refuse is None:
            return False
        status, code, message = errors[state.refuse]
        with state.lock:
            state.received["refused"] += 1
        self._send(status, {"error": {"message": message, "code": code, "type": "x", "param": None}})
        return True

    def _chat(self, body: dict[str, object], state: ServerState) -> None:
        identity = self.headers.get("X-Client-Request-Id") or hashlib.sha256(json.dumps(body).encode()).hexdigest()
        with state.lock:
            state.received[identity] += 1
            count = state.received[identity]
        rng = random.Random(f"{identity}/{count}")
        time.sleep(rng.random() * state.delay_seconds)
        fault = rng.choice(state.errors) if count <= MAX_FAULTS and rng.random() < state.fault_share else None
        error = {"error": {"message": "later", "code": None, "type": "x", "param": None}}
        if fault == "429":
            return self._send(429, error)
        if fault == "429_retry_after":
            return self._send(429, error, {"Retry-After": "0.05"})
        if fault == "500":
            return self._send(500, error)
        reply = json.dumps(complete(body, identity, state)).encode()
        if fault == "timeout":
            time.sleep(state.timeout_seconds)
            self.close_connection = True
            return None
        if fault == "cut":
            return self._cut(reply)
        if fault == "malformed":
            return self._send_bytes(200, reply[:-20])
        return self._send_bytes(200, reply, {"x-ratelimit-limit-requests": "60000"})

    def _store_file(self, content: bytes) -> None:
        lines = [line for line in content.split(b"\n") if line.startswith(b'{"custom_id"')]
        state = self.server.state
        with state.lock:
            name = f"file-{len(state.files)}"
            state.files[name] = b"\n".join(line.strip() for line in lines)
        reply = {"id": name, "object": "file", "bytes": 1, "created_at": 0, "filename": "x", "purpose": "batch"}
        self._send(200, {**reply, "status": "processed"})

    def _create_batch(self, body: dict[str, object]) -> None:
        state = self.server.state
        results = []
        for position, line in enumerate(state.files[str(body["input_file_id"])].split(b"\n")):
            row = json.loads(line)
            state.received[row["custom_id"]] += 1
            lost = state.fault_share > 0 and position % 3 == 0 and state.received[row["custom_id"]] == 1
            response = None if lost else {"status_code": 200, "body": complete(row["body"], row["custom_id"], state)}
            error = {"code": "batch_expired", "message": "expired"} if lost else None
            results.append({"id": "x", "custom_id": row["custom_id"], "response": response, "error": error})
        with state.lock:
            name = f"batch-{len(state.batches)}"
            state.files[f"{name}-out"] = "\n".join(map(json.dumps, results)).encode()
            batch = {
                "id": name,
                "object": "batch",
                "endpoint": body["endpoint"],
                "input_file_id": body["input_file_id"],
                "completion_window": "24h",
                "created_at": 0,
                "status": "in_progress",
                "metadata": body["metadata"],
                "output_file_id": f"{name}-out",
            }
            state.batches[name] = batch
        self._send(200, batch)

    def _cut(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        self.close_connection = True

    def _send(self, status: int, body: Mapping[str, object], headers: dict[str, str] | None = None) -> None:
        self._send_bytes(status, json.dumps(body).encode(), headers)

    def _send_bytes(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


class FaultServer(ThreadingHTTPServer):
    """The server on a free port, while the context lasts."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, state: ServerState) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.state = state
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: a client that was killed breaks its connection."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()
