"""The default backend: log-likelihoods and greedy answers of a LLaMA in memory, adapter or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from peft import PeftModel
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from bioinstruct.decoding import decode_greedily
from bioinstruct.encoding import encode_pairs, encode_text
from bioinstruct.errors import UserError
from bioinstruct.likelihood import PathScore, make_path, make_rows, score_rows
from bioinstruct.longest_first import run_longest_first
from bioinstruct.stopping import Stopper
from bioinstruct.tasks.base import Generation, LogLikelihood

CPU_SCORING_TOKENS = 1024
"""Most tokens of one scoring pass on CPU, whose caches larger ones do not fit: with 8,192 a model of 7 M
parameters took 1.7 times as long. Decoding reads one token a row and gains from every row."""


class HfBackend:
    """Backend over a transformers LLaMA on CPU or GPU; of a PeftModel the active adapter counts.

    `batch_tokens` bounds the padded tokens of one forward pass over questions or prompts; it is halved when
    memory runs out and changes no result; on CPU options are scored in smaller batches, which is faster. What
    does not fit `max_length_tokens` is cut from the left and counted.
    """

    def __init__(
        self,
        model: LlamaForCausalLM | PeftModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        fingerprint: str,
        max_length_tokens: int,
        batch_tokens: int = 8192,
    ) -> None:
        self._model: LlamaForCausalLM = model.get_base_model() if isinstance(model, PeftModel) else model
        self._tokenizer = tokenizer
        self._fingerprint = fingerprint
        self._max_length_tokens = max_length_tokens
        self._batch_tokens = batch_tokens

    @property
    def fingerprint(self) -> str:
        """Identity of model, adapter and precision, as given."""
        return self._fingerprint

    def loglikelihood(self, pairs: Sequence[tuple[str, str]]) -> list[LogLikelihood]:
        """Log-likelihoods of (context, continuation) pairs, in order; equal contexts in a row share work.

        Raises UserError for an empty continuation and for one longer than `max_length_tokens`.
        """
        encoded = encode_pairs(self._tokenizer, pairs)
        limit = self._max_length_tokens
        paths = [make_path(pair.context, pair.continuation, max_length_tokens=limit) for pair in encoded]
        rows = make_rows(paths)
        scores: dict[int, PathScore] = {}

        def run(batch: list[int]) -> None:
            scores.update(score_rows(self._model, [rows[index] for index in batch], paths))

        with _inference(self._model):
            budget = self._batch_tokens
            if self._model.device.type == "cpu":
                budget = min(budget, CPU_SCORING_TOKENS)
            run_longest_first([row.num_tokens for row in rows], run, batch_tokens=budget)
        return [
            LogLikelihood(
                logprob=scores[index].logprob,
                num_tokens=len(path.targets),
                is_greedy=scores[index].is_greedy,
                boundary="joint" if pair.joint else "separate",
                num_truncated_tokens=path.num_truncated_tokens,
            )
            for index, (pair, path) in enumerate(zip(encoded, paths, strict=True))
        ]

    def generate(self, prompts: Sequence[str], *, max_new_tokens: int, stop: Sequence[str]) -> list[Generation]:
        """Greedy continuations of the prompts, in order, up to EOS or the first text of `stop`.

        As in training, spaces that end a prompt are left to the answer. Raises UserError where
        `max_new_tokens` leaves no room for a prompt.
        """
        room = self._max_length_tokens - max_new_tokens
        if room < 1 or max_new_tokens < 1:
            raise UserError(
                f"max_new_tokens={max_new_tokens} with max_length_tokens={self._max_length_tokens} leaves no "
                "room; allowed: 1 up to one less than max_length_tokens"
            )
        encoded = [encode_text(self._tokenizer, prompt.rstrip(" ")) for prompt in prompts]
        stopper = Stopper(self._tokenizer, stop, eos_token_ids=eos_token_ids(self._model, self._tokenizer))
        answers: dict[int, Generation] = {}

        def run(batch: list[int]) -> None:
            cut = [encoded[index][-room:] for index in batch]
            decoded = decode_greedily(self._model, cut, max_new_tokens=max_new_tokens, stopper=stopper)
            for index, tokens in zip(batch, decoded, strict=True):
                num_truncated_tokens = max(len(encoded[index]) - room, 0)
                answers[index] = stopper.finish(tokens, num_truncated_tokens=num_truncated_tokens)

        with _inference(self._model):
            run_longest_first([min(len(e), room) for e in encoded], run, batch_tokens=self._batch_tokens)
        return [answers[index] for index in range(len(prompts))]


def eos_token_ids(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokens that end an answer: the model's (Llama 3 has several) and the tokenizer's."""
    configured = model.generation_config.eos_token_id
    known = configured if isinstance(configured, list) else [configured]
    return frozenset(int(token) for token in [*known, tokenizer.eos_token_id] if token is not None)


@contextmanager
def _inference(model: LlamaForCausalLM) -> Iterator[None]:
    """Evaluation mode, no gradients, and an attention that takes 4-D masks; all put back at the end."""
    was_training, attention = model.training, model.config._attn_implementation
    model.eval()
    model.set_attn_implementation("sdpa")
    try:
        with torch.no_grad():
            yield
    finally:
        model.set_attn_implementation(attention)
        model.train(was_training)
