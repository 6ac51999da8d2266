"""The vLLM backend over a fake engine that answers from a LLaMA in memory, in vLLM's data layout."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from bioinstruct.errors import PrerequisiteError, UserError
from bioinstruct.generation import HfBackend
from bioinstruct.vllm_backend import VllmBackend, open_engine
from tests.word_llama import word_llama, word_tokenizer

PROMPTS = ("Question: Which drug lowers the blood pressure?\nAnswer:", "fever and TNF-α in a man of 40", "no")
TEXTS = (" lisinopril", " amoxicillin and metformin", " A")
PAIRS = [(prompt, text) for prompt in PROMPTS for text in TEXTS]


@dataclass
class SamplingParams:
    """The fields of vLLM's class that are used."""

    temperature: float
    max_tokens: int
    prompt_logprobs: int | None = None
    stop: Sequence[str] = ()


@dataclass
class LoRARequest:
    """The positional fields of vLLM's class."""

    lora_name: str
    lora_int_id: int
    lora_path: str


class FakeEngine:
    """Stands for vllm.LLM."""

    def __init__(self, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.adapters: list[LoRARequest | None] = []

    def generate(
        self,
        prompts: Sequence[dict[str, list[int]]],
        params: SamplingParams,
        *,
        lora_request: LoRARequest | None,
        use_tqdm: bool,
    ) -> list[SimpleNamespace]:
        assert params.temperature == 0.0
        assert not use_tqdm
        self.adapters.append(lora_request)
        return [self._answer(prompt["prompt_token_ids"], params) for prompt in prompts]

    def _answer(self, ids: list[int], params: SamplingParams) -> SimpleNamespace:
        with torch.no_grad():
            logprobs = self.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        positions: list[dict[int, SimpleNamespace] | None] = [None]
        for row, token in zip(logprobs, ids[1:], strict=False):
            rank = int((row > row[token]).sum()) + 1
            positions.append({token: SimpleNamespace(logprob=float(row[token]), rank=rank)})
        tokens = self._greedy(ids, params.max_tokens)
        ended = tokens[-1] == 2
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        stopped = next((stop for stop in params.stop if stop in text), None)
        completion = SimpleNamespace(
            text=text[: text.index(stopped)] if stopped else text,
            token_ids=tokens,
            finish_reason="stop" if stopped or ended else "length",
            stop_reason=stopped,
        )
        return SimpleNamespace(prompt_logprobs=positions, outputs=[completion])

    def _greedy(self, ids: list[int], max_tokens: int) -> list[int]:
        tokens: list[int] = []
        while len(tokens) < max_tokens and 2 not in tokens:
            with torch.no_grad():
                tokens.append(int(self.model(input_ids=torch.tensor([ids + tokens])).logits[0, -1].argmax()))
        return tokens


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    vllm, lora, request = ModuleType("vllm"), ModuleType("vllm.lora"), ModuleType("vllm.lora.request")
    vllm.SamplingParams = SamplingParams  # type: ignore[attr-defined]
    request.LoRARequest = LoRARequest  # type: ignore[attr-defined]
    for module in (vllm, lora, request):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    tokenizer = word_tokenizer()
    return FakeEngine(word_llama(len(tokenizer)), tokenizer)


def backends(engine: FakeEngine, *, max_length_tokens: int = 300) -> tuple[VllmBackend, HfBackend]:
    return (
        VllmBackend(engine, engine.tokenizer, fingerprint="small", max_length_tokens=max_length_tokens),
        HfBackend(engine.model, engine.tokenizer, fingerprint="small", max_length_tokens=max_length_tokens - 2),
    )


@pytest.mark.parametrize("max_length_tokens", [300, 24])
def test_option_likelihoods_equal_the_default_backend(engine: FakeEngine, max_length_tokens: int) -> None:
    vllm, hf = backends(engine, max_length_tokens=max_length_tokens)
    for ours, expected in zip(vllm.loglikelihood(PAIRS), hf.loglikelihood(PAIRS), strict=True):
        assert ours.logprob == pytest.approx(expected.logprob, abs=1e-5)
        assert (ours.num_tokens, ours.is_greedy, ours.boundary, ours.num_truncated_tokens) == (
            expected.num_tokens,
            expected.is_greedy,
            expected.boundary,
            expected.num_truncated_tokens,
        )
    assert vllm.fingerprint != hf.fingerprint


def test_answers_equal_the_default_backend(engine: FakeEngine) -> None:
    vllm, hf = backends(engine)
    expected = hf.generate(PROMPTS, max_new_tokens=12, stop=())
    assert vllm.generate(PROMPTS, max_new_tokens=12, stop=()) == expected
    stop = expected[0].text[4:7]
    answer = vllm.generate(PROMPTS[:1], max_new_tokens=12, stop=[stop])[0]
    assert (answer.text, answer.finish) == (expected[0].text[: expected[0].text.index(stop)], "stop")


def test_each_adapter_goes_to_the_engine_under_its_number(engine: FakeEngine) -> None:
    for number, adapter in ((1, Path("a/adapter")), (2, Path("b/adapter"))):
        backend = VllmBackend(
            engine,
            engine.tokenizer,
            fingerprint="x",
            max_length_tokens=300,
            adapter=adapter,
            adapter_number=number,
        )
        backend.generate(["no"], max_new_tokens=1, stop=())
    backends(engine)[0].generate(["no"], max_new_tokens=1, stop=())
    assert engine.adapters == [
        LoRARequest("adapter-1", 1, "a/adapter"),
        LoRARequest("adapter-2", 2, "b/adapter"),
        None,
    ]


def test_no_room_for_a_prompt_is_refused(engine: FakeEngine) -> None:
    with pytest.raises(UserError, match="max_new_tokens=300"):
        backends(engine)[0].generate(["no"], max_new_tokens=300, stop=())


def test_a_missing_vllm_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(PrerequisiteError, match="pip install vllm"):
        open_engine("llama", revision=None, dtype="bfloat16", max_length_tokens=300, max_rank=16)
