from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerFast

from bioinstruct.stopping import CHECK_EVERY, Stopper
from bioinstruct.tasks.base import Generation
from tests.word_llama import word_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return word_tokenizer()


def tokens_of(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    tokens: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return tokens


def test_a_stop_text_of_many_tokens_is_seen_whenever_its_last_token_is_new(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    stop = "€∂ƒ≈Ω"  # bytes, three tokens a character
    stopper = Stopper(tokenizer, [stop], eos_token_ids=frozenset([2]))
    before = tokens_of(tokenizer, "yes no " * 20 + stop)
    assert len(tokens_of(tokenizer, stop)) > 12
    for num_later in range(CHECK_EVERY):
        assert stopper.has_stopped(before + tokens_of(tokenizer, "no")[-1:] * num_later)
    assert not stopper.has_stopped(before[:-1])


def test_an_answer_ends_before_the_stop_and_counts_the_tokens_that_wrote_it(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    stopper = Stopper(tokenizer, ["###", "\n\n"], eos_token_ids=frozenset([2]))
    answer = tokens_of(tokenizer, "metformin. yes\n###")
    rest = tokens_of(tokenizer, " Input: no\n\n")
    expected = Generation("metformin. yes\n", len(answer), "stop", 3)
    assert stopper.finish([*answer, *rest], num_truncated_tokens=3) == expected
    assert stopper.finish([*answer, *rest, 2], num_truncated_tokens=3) == expected


def test_without_stop_text_eos_or_the_length_ends_an_answer(tokenizer: PreTrainedTokenizerFast) -> None:
    stopper = Stopper(tokenizer, [], eos_token_ids=frozenset([2, 7]))
    answer = tokens_of(tokenizer, "yes. no.\nmaybe?")
    text = tokenizer.decode(answer)
    assert stopper.finish(answer, num_truncated_tokens=0) == Generation(text, len(answer), "length")
    assert stopper.finish([*answer, 7], num_truncated_tokens=0) == Generation(text, len(answer), "stop")
    assert stopper.finish([2], num_truncated_tokens=0) == Generation("", 0, "stop")
    assert not any(stopper.is_due(number) for number in range(1, 40))
