from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from bioinstruct import decoding
from bioinstruct.encoding import encode_text
from bioinstruct.errors import UserError
from bioinstruct.generation import HfBackend, eos_token_ids
from tests.word_llama import word_llama, word_tokenizer

PROMPTS = (
    "Question: Which drug lowers the blood pressure?\nAnswer:",
    "fever",
    "### Instruction: A man with TNF-α and fever takes metformin. Which drug?\n### Response:\n",
    "Choices:\nA. no\nB. yes\nAnswer: ",
    "metformin and lisinopril and amoxicillin",
    "The blood pressure of a man of 40 years",
    "no",
)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return word_tokenizer()


@pytest.fixture(scope="module")
def llama(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    return word_llama(len(tokenizer))


def backend(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    *,
    max_length_tokens: int = 512,
    batch_tokens: int = 4096,
) -> HfBackend:
    return HfBackend(
        model, tokenizer, fingerprint="small", max_length_tokens=max_length_tokens, batch_tokens=batch_tokens
    )


def transformers_tokens(
    model: LlamaForCausalLM, prompt: Sequence[int], *, max_new_tokens: int, eos: Sequence[int] = (2,)
) -> list[int]:
    """What transformers' own greedy generation appends to one prompt, without EOS."""
    ids = torch.tensor([list(prompt)])
    output = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_new_tokens, do_sample=False,
        eos_token_id=list(eos), pad_token_id=0,
    )  # fmt: skip
    tokens: list[int] = output[0, len(prompt) :].tolist()
    return tokens[:-1] if tokens[-1] in eos else tokens


@pytest.mark.parametrize("batch_tokens", [1, 60, 100_000])
def test_answers_equal_transformers_generate_whatever_the_batch(
    llama: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, batch_tokens: int
) -> None:
    engine = backend(llama, tokenizer, batch_tokens=batch_tokens)
    answers = engine.generate(PROMPTS, max_new_tokens=24, stop=())
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        tokens = transformers_tokens(llama, encode_text(tokenizer, prompt.rstrip(" ")), max_new_tokens=24)
        assert answer.text == tokenizer.decode(tokens, skip_special_tokens=True)
        assert answer.num_tokens == len(tokens)
        assert answer.finish == ("length" if len(tokens) == 24 else "stop")
    assert len({answer.text for answer in answers}) == len(PROMPTS)


def test_rows_that_end_leave_the_batch_and_the_others_go_on_unchanged(
    llama: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = backend(llama, tokenizer).generate(PROMPTS, max_new_tokens=24, stop=())
    prompts = [encode_text(tokenizer, prompt.rstrip(" ")) for prompt in PROMPTS]
    unended = [transformers_tokens(llama, prompt, max_new_tokens=24, eos=[0]) for prompt in prompts]
    eos = sorted({tokens[number] for number, tokens in zip((2, 5, 9, 12, 15), unended, strict=False)})
    monkeypatch.setattr(llama.generation_config, "eos_token_id", eos)
    assert eos_token_ids(llama, tokenizer) == {2, *eos}
    sizes: list[int] = []
    forward = decoding._Batch._forward

    def record(self: decoding._Batch, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        sizes.append(len(ids))
        return forward(self, ids, mask)

    monkeypatch.setattr(decoding._Batch, "_forward", record)
    ended = backend(llama, tokenizer).generate(PROMPTS, max_new_tokens=24, stop=())
    for prompt, answer in zip(prompts, ended, strict=True):
        tokens = transformers_tokens(llama, prompt, max_new_tokens=24, eos=[2, *eos])
        assert (answer.text, answer.num_tokens) == (tokenizer.decode(tokens), len(tokens))
    assert sizes[0] == len(PROMPTS)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < len(PROMPTS) / 2
    assert sum(answer.finish == "stop" for answer in ended) >= 3
    assert [a.text for a in ended] != [a.text for a in free]


def test_text_is_cut_before_the_first_stop_even_where_it_spans_tokens(
    llama: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    free = backend(llama, tokenizer).generate(PROMPTS, max_new_tokens=40, stop=())
    for number, start in ((0, 3), (2, 11), (4, 20)):
        text = free[number].text
        stop = text[start : start + 5]  # five characters that lie anywhere among the tokens
        assert len(stop) == 5
        stopped = backend(llama, tokenizer).generate(PROMPTS, max_new_tokens=40, stop=("never seen", stop))
        assert stopped[number].text == text[: text.index(stop)]
        assert stopped[number].finish == "stop"
        kept = stopped[number].num_tokens
        assert kept <= free[number].num_tokens
        generated = transformers_tokens(llama, encode_text(tokenizer, PROMPTS[number].rstrip(" ")), max_new_tokens=40)
        assert stop in tokenizer.decode(generated[:kept])
        assert stop not in tokenizer.decode(generated[: kept - 1])
        for other, answer in enumerate(stopped):
            assert stop not in answer.text
            assert free[other].text.startswith(answer.text)


def test_the_answer_does_not_stop_at_punctuation(llama: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    answers = backend(llama, tokenizer).generate(PROMPTS, max_new_tokens=64, stop=())
    assert any("." in a.text[:-1] or "?" in a.text[:-1] or "\n" in a.text[:-1] for a in answers)


def test_a_prompt_that_is_too_long_keeps_its_end_and_says_how_much_was_cut(
    llama: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    long = "fever and " * 30 + PROMPTS[0]
    ids = encode_text(tokenizer, long)
    engine = backend(llama, tokenizer, max_length_tokens=40)
    answers = engine.generate([long, "no"], max_new_tokens=10, stop=())
    assert answers[0].num_truncated_tokens == len(ids) - 30
    assert answers[1].num_truncated_tokens == 0
    tokens = transformers_tokens(llama, ids[-30:], max_new_tokens=10)
    assert answers[0].text == tokenizer.decode(tokens)


def test_out_of_memory_while_decoding_repeats_the_batch_in_halves(
    llama: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = backend(llama, tokenizer).generate(PROMPTS, max_new_tokens=12, stop=())
    step = decoding._Batch.step

    def small_memory(self: decoding._Batch) -> None:
        if len(self.next_tokens()) > 3:
            raise torch.OutOfMemoryError
        step(self)

    monkeypatch.setattr(decoding._Batch, "step", small_memory)
    assert backend(llama, tokenizer).generate(PROMPTS, max_new_tokens=12, stop=()) == expected


@pytest.mark.parametrize("max_new_tokens", [0, 40, 100])
def test_no_room_for_a_prompt_is_refused(
    llama: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, max_new_tokens: int
) -> None:
    with pytest.raises(UserError, match=f"max_new_tokens={max_new_tokens} with max_length_tokens=40"):
        backend(llama, tokenizer, max_length_tokens=40).generate(["no"], max_new_tokens=max_new_tokens, stop=())


def test_an_empty_stop_text_is_refused(llama: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(UserError, match="empty text"):
        backend(llama, tokenizer).generate(["no"], max_new_tokens=4, stop=("\n", ""))
