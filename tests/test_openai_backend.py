"""The backend over a server that is a small HTTP program on this machine, answering from a LLaMA in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from bioinstruct.config.building import LlmConfig
from bioinstruct.errors import PrerequisiteError
from bioinstruct.generation import HfBackend
from bioinstruct.llm.exchange import EndpointError
from bioinstruct.llm_client import OpenAiClient
from bioinstruct.openai_backend import OpenAiBackend
from tests.word_llama import word_llama, word_tokenizer

PROMPTS = ("Question: Which drug lowers the blood pressure?\nAnswer:", "fever and TNF-α in a man of 40", "no")
PAIRS = [(prompt, text) for prompt in PROMPTS for text in (" lisinopril", " amoxicillin and", " A")]


class Server(ThreadingHTTPServer):
    """An OpenAI-compatible server; every third request meets status 503 first."""

    def __init__(self, model: LlamaForCausalLM, *, echoes: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.model = model
        self.echoes = echoes
        self.lock = Lock()
        self.num_requests = 0
        self.chats: list[dict[str, object]] = []


class Handler(BaseHTTPRequestHandler):
    """Answers completions of token ids and chats."""

    server: Server

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.num_requests += 1
            if self.server.num_requests % 3 == 1:
                self._reply(503, {"error": {"message": "busy"}})
            elif self.path == "/v1/completions":
                self._reply(200, self._completion(request))
            else:
                self.server.chats.append(request)
                self._reply(200, self._chat(request))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Silent."""

    def _completion(self, request: dict[str, list[int]]) -> dict[str, object]:
        with torch.no_grad():
            logprobs = self.server.model(input_ids=torch.tensor([request["prompt"]])).logits[0].log_softmax(-1)
        tokens = [*request["prompt"][1:], int(logprobs[-1].argmax())]
        values = [float(row[token]) for row, token in zip(logprobs, tokens, strict=True)]
        tops = [{"top": float(row.max())} for row in logprobs]
        echoed = {"token_logprobs": [None, *values], "top_logprobs": [None, *tops]}
        return {"choices": [{"text": "", "logprobs": echoed if self.server.echoes else None}]}

    def _chat(self, request: dict[str, object]) -> dict[str, object]:
        messages = request["messages"]
        assert isinstance(messages, list)
        choice = {"finish_reason": "length", "message": {"content": messages[0]["content"].upper()}}
        return {"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 7}}

    def _reply(self, status: int, body: dict[str, object]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return word_tokenizer()


@pytest.fixture
def server(tokenizer: PreTrainedTokenizerFast) -> Iterator[Server]:
    server = Server(word_llama(len(tokenizer)))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def backend(server: Server, tokenizer: PreTrainedTokenizerFast | None, *, max_attempts: int = 8) -> OpenAiBackend:
    llm = LlmConfig(
        model="small",
        base_url=f"http://127.0.0.1:{server.server_port}/v1",
        api_key_env="NO_SUCH_KEY",
        backoff_seconds=0.001,
        max_attempts=max_attempts,
    )
    return OpenAiBackend(lambda: OpenAiClient(llm), llm, max_length_tokens=300, tokenizer=tokenizer)


def test_option_likelihoods_equal_the_default_backend_through_failures(
    server: Server, tokenizer: PreTrainedTokenizerFast
) -> None:
    hf = HfBackend(server.model, tokenizer, fingerprint="small", max_length_tokens=298)
    expected = hf.loglikelihood(PAIRS)
    ours = backend(server, tokenizer).loglikelihood(PAIRS)
    assert [entry.logprob for entry in ours] == pytest.approx([e.logprob for e in expected], abs=1e-5)
    assert [(e.num_tokens, e.is_greedy, e.boundary) for e in ours] == [
        (e.num_tokens, e.is_greedy, e.boundary) for e in expected
    ]
    assert server.num_requests > len(PAIRS)


def test_answers_come_from_chats_in_order_without_randomness(server: Server) -> None:
    answers = backend(server, None).generate(PROMPTS, max_new_tokens=9, stop=("\n###",))
    assert [answer.text for answer in answers] == [prompt.upper() for prompt in PROMPTS]
    assert {(answer.num_tokens, answer.finish) for answer in answers} == {(7, "length")}
    assert all((c["temperature"], c["max_tokens"], c["stop"]) == (0.0, 9, ["\n###"]) for c in server.chats)


def test_a_server_without_prompt_logprobs_and_a_missing_tokenizer_are_named(
    server: Server, tokenizer: PreTrainedTokenizerFast
) -> None:
    server.echoes = False
    with pytest.raises(PrerequisiteError, match="does not repeat prompts with log-probabilities"):
        backend(server, tokenizer).loglikelihood(PAIRS[:1])
    with pytest.raises(PrerequisiteError, match="need its tokenizer"):
        backend(server, None).loglikelihood(PAIRS[:1])


def test_an_endpoint_that_keeps_failing_is_given_up(server: Server) -> None:
    with pytest.raises(EndpointError, match="failed 1 times, at last"):
        backend(server, None, max_attempts=1).generate(PROMPTS[:1], max_new_tokens=9, stop=())
