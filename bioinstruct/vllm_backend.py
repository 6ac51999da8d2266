"""The optional vLLM backend: one engine for a base model and all its adapters.

vLLM is an extra, imported when an engine is opened. Its numbers are those of its own kernels: predictions of this
backend are saved under a fingerprint of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import PreTrainedTokenizerBase

from bioinstruct.encoding import encode_pairs, encode_text
from bioinstruct.errors import PrerequisiteError, UserError
from bioinstruct.likelihood import Path as TokenPath
from bioinstruct.likelihood import make_path
from bioinstruct.tasks.base import Generation, LogLikelihood

if TYPE_CHECKING:
    from vllm import LLM
    from vllm.outputs import RequestOutput


def open_engine(model: str, *, revision: str | None, dtype: str, max_length_tokens: int, max_rank: int) -> LLM:
    """An engine that holds the base model and takes adapters up to rank `max_rank` (0: none).

    Raises PrerequisiteError where vLLM is not installed.
    """
    try:
        from vllm import LLM
    except ImportError as error:
        raise PrerequisiteError(
            f"backend=vllm needs the package vllm ({error}); install it on a machine with a GPU: pip install vllm"
        ) from error
    return LLM(
        model=model,
        revision=revision,
        dtype=dtype,
        max_model_len=max_length_tokens,
        enable_prefix_caching=True,
        enable_lora=max_rank > 0,
        max_lora_rank=max(8, 1 << (max_rank - 1).bit_length()) if max_rank else 8,  # it takes powers of two
        seed=0,
    )


class VllmBackend:
    """Backend over a vLLM engine, for the base model or for one of its adapters.

    Adapters of one engine need numbers of their own, from 1. vLLM always generates a token, so that two tokens
    fewer than `max_length_tokens` are read when options are scored.
    """

    def __init__(
        self,
        engine: LLM,
        tokenizer: PreTrainedTokenizerBase,
        *,
        fingerprint: str,
        max_length_tokens: int,
        adapter: Path | None = None,
        adapter_number: int = 1,
    ) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
        self._fingerprint = f"{fingerprint}-vllm"
        self._max_length_tokens = max_length_tokens
        self._adapter = adapter
        self._adapter_number = adapter_number

    @property
    def fingerprint(self) -> str:
        """Identity of model, adapter and precision, marked as vLLM's."""
        return self._fingerprint

    def loglikelihood(self, pairs: Sequence[tuple[str, str]]) -> list[LogLikelihood]:
        """Log-likelihoods of (context, continuation) pairs, in order, from the log-probabilities of prompts."""
        encoded = encode_pairs(self._tokenizer, pairs)
        limit = self._max_length_tokens - 2
        paths = [make_path(pair.context, pair.continuation, max_length_tokens=limit) for pair in encoded]
        prompts = [[*path.inputs, path.targets[-1]] for path in paths]
        outputs = self._run(prompts, max_tokens=1, prompt_logprobs=1)
        return [
            _read_likelihood(output, path, boundary_is_joint=pair.joint)
            for output, path, pair in zip(outputs, paths, encoded, strict=True)
        ]

    def generate(self, prompts: Sequence[str], *, max_new_tokens: int, stop: Sequence[str]) -> list[Generation]:
        """Greedy continuations of the prompts, in order, up to EOS or the first text of `stop`."""
        room = self._max_length_tokens - max_new_tokens
        if room < 1:
            raise UserError(
                f"max_new_tokens={max_new_tokens} with max_length_tokens={self._max_length_tokens} leaves no "
                "room; allowed: up to one less than max_length_tokens"
            )
        encoded = [encode_text(self._tokenizer, prompt.rstrip(" ")) for prompt in prompts]
        outputs = self._run([ids[-room:] for ids in encoded], max_tokens=max_new_tokens, stop=list(stop))
        return [
            _read_generation(output, num_truncated_tokens=max(len(ids) - room, 0))
            for output, ids in zip(outputs, encoded, strict=True)
        ]

    def _run(self, prompts: list[list[int]], **options: int | list[str]) -> list[RequestOutput]:
        """The engine's outputs, greedy, in order."""
        from vllm import SamplingParams
        from vllm.lora.request import LoRARequest

        adapter = None
        if self._adapter is not None:
            adapter = LoRARequest(f"adapter-{self._adapter_number}", self._adapter_number, str(self._adapter))
        outputs: list[RequestOutput] = self._engine.generate(
            [{"prompt_token_ids": ids} for ids in prompts],
            SamplingParams(temperature=0.0, **options),
            lora_request=adapter,
            use_tqdm=False,
        )
        return outputs


def _read_likelihood(output: RequestOutput, path: TokenPath, *, boundary_is_joint: bool) -> LogLikelihood:
    """vLLM gives each position of the prompt the log-probability of its token and of the most likely one."""
    positions = output.prompt_logprobs[-len(path.targets) :]
    entries = [position[token] for position, token in zip(positions, path.targets, strict=True)]
    return LogLikelihood(
        logprob=sum(float(entry.logprob) for entry in entries),
        num_tokens=len(entries),
        is_greedy=all(entry.rank == 1 for entry in entries),
        boundary="joint" if boundary_is_joint else "separate",
        num_truncated_tokens=path.num_truncated_tokens,
    )


def _read_generation(output: RequestOutput, *, num_truncated_tokens: int) -> Generation:
    """The text before EOS or the stop text; an EOS that ended it is not counted."""
    completion = output.outputs[0]
    ended_by_eos = completion.finish_reason == "stop" and not isinstance(completion.stop_reason, str)
    return Generation(
        text=str(completion.text),
        num_tokens=len(completion.token_ids) - ended_by_eos,
        finish="length" if completion.finish_reason == "length" else "stop",
        num_truncated_tokens=num_truncated_tokens,
    )
