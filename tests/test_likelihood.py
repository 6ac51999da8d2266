from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from bioinstruct.encoding import encode_pair, encode_pairs
from bioinstruct.errors import UserError
from bioinstruct.generation import HfBackend
from bioinstruct.likelihood import make_path, make_rows, score_rows
from bioinstruct.tasks.base import LogLikelihood
from tests.word_llama import word_llama, word_tokenizer

QUESTIONS = (
    "Question: Which drug lowers the blood pressure?\nAnswer:",
    "Question: A man with TNF-α and fever takes metformin. Which drug?\nChoices:\nA. no\nB. yes\nAnswer:",
    "fever and",
)
TEXTS = (" lisinopril", " amoxicillin and metformin, in TNF-α", " lisinopril and", " no")
LETTERS = (" A", " B", " C", " D")
PAIRS = [(question, text) for texts in (TEXTS, LETTERS) for question in QUESTIONS for text in texts]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return word_tokenizer()


@pytest.fixture(scope="module")
def llama(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    return word_llama(len(tokenizer))


def naive(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    pairs: Sequence[tuple[str, str]],
    *,
    max_length_tokens: int = 512,
) -> list[tuple[float, bool]]:
    """One pair at a time, all logits: what the fast path must equal."""
    scores = []
    for context, continuation in pairs:
        pair = encode_pair(tokenizer, context, continuation)
        ids = torch.tensor([(pair.context + pair.continuation)[-(max_length_tokens + 1) :]])
        with torch.no_grad():
            logprobs = model(input_ids=ids[:, :-1]).logits[0].float().log_softmax(-1)
        targets = ids[0, -len(pair.continuation) :]
        logprobs = logprobs[-len(targets) :]
        picked = logprobs[torch.arange(len(targets)), targets]
        scores.append((float(picked.double().sum()), bool((logprobs.argmax(-1) == targets).all())))
    return scores


def assert_equal(fast: Sequence[LogLikelihood], slow: Sequence[tuple[float, bool]]) -> None:
    assert [f.is_greedy for f in fast] == [s[1] for s in slow]
    assert [f.logprob for f in fast] == pytest.approx([s[0] for s in slow], abs=1e-5, rel=0)


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


@pytest.mark.parametrize("batch_tokens", [1, 100, 333, 100_000])
def test_the_fast_path_equals_the_naive_one_at_any_batch_size(
    llama: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, batch_tokens: int
) -> None:
    fast = backend(llama, tokenizer, batch_tokens=batch_tokens).loglikelihood(PAIRS)
    assert_equal(fast, naive(llama, tokenizer, PAIRS))
    assert len({round(f.logprob, 3) for f in fast}) == len(PAIRS)


@pytest.mark.parametrize(("tied", "num_key_value_heads"), [(True, 4), (False, 1)])
def test_other_llama_shapes_score_as_the_naive_path(
    tokenizer: PreTrainedTokenizerFast, tied: bool, num_key_value_heads: int
) -> None:
    model = word_llama(
        len(tokenizer), tie_word_embeddings=tied, num_key_value_heads=num_key_value_heads, attention_bias=tied
    )
    assert_equal(backend(model, tokenizer).loglikelihood(PAIRS), naive(model, tokenizer, PAIRS))


def test_the_active_adapter_is_scored_and_the_model_is_left_as_it_was(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    base = word_llama(len(tokenizer), seed=2)
    lora = LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    tuned = get_peft_model(base, lora)
    tuned.train()
    base.set_attn_implementation("eager")
    fast = backend(tuned, tokenizer).loglikelihood(PAIRS[:4])
    assert tuned.training
    assert base.training
    assert base.config._attn_implementation == "eager"
    tuned.eval()
    assert_equal(fast, naive(tuned, tokenizer, PAIRS[:4]))
    with tuned.disable_adapter():
        assert abs(naive(tuned, tokenizer, PAIRS[:1])[0][0] - fast[0].logprob) > 0.01


def test_what_is_too_long_is_cut_from_the_left_and_counted(
    llama: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    pairs = PAIRS[4:8]
    fast = backend(llama, tokenizer, max_length_tokens=30).loglikelihood(pairs)
    assert_equal(fast, naive(llama, tokenizer, pairs, max_length_tokens=30))
    sizes = [sum(map(len, encode_pair(tokenizer, *pair)[:2])) for pair in pairs]
    assert [f.num_truncated_tokens for f in fast] == [size - 31 for size in sizes]
    assert min(sizes) > 31


def test_a_path_keeps_the_last_inputs_and_one_more_target() -> None:
    # 1 2 3 | 4 5: inputs are 1 2 3 4; with room for three, 2 3 4
    assert make_path([1, 2, 3], [4, 5], max_length_tokens=4) == ([1, 2, 3, 4], [4, 5], 0)
    assert make_path([1, 2, 3], [4, 5], max_length_tokens=3) == ([2, 3, 4], [4, 5], 1)
    assert make_path([1, 2, 3], [4, 5], max_length_tokens=2) == ([3, 4], [4, 5], 2)


@pytest.mark.parametrize(("context", "continuation", "limit"), [([1, 2], [], 8), ([1], [2, 3, 4], 2), ([], [2, 3], 8)])
def test_a_continuation_that_cannot_be_scored_is_refused(
    context: list[int], continuation: list[int], limit: int
) -> None:
    with pytest.raises(UserError, match=f"a continuation of {len(continuation)} tokens"):
        make_path(context, continuation, max_length_tokens=limit)


def test_a_continuation_is_greedy_only_if_each_of_its_tokens_is(llama: LlamaForCausalLM) -> None:
    def then_greedy(tokens: list[int]) -> list[int]:
        with torch.no_grad():
            logits = llama(input_ids=torch.tensor([[1, 300, 310, *tokens]])).logits
        return [*tokens, int(logits[0, -1].argmax())]

    greedy = then_greedy(then_greedy([]))
    other = then_greedy([5])
    assert greedy[0] != 5
    paths = [make_path([1, 300, 310], c, max_length_tokens=9) for c in (greedy, other, [greedy[0], 5])]
    scores = score_rows(llama, make_rows(paths), paths)
    assert [scores[index].is_greedy for index in range(3)] == [True, False, False]


def test_options_share_a_row_and_letters_need_one_position() -> None:
    texts = [make_path([1, 2, 3], c, max_length_tokens=9) for c in ([4, 5, 6], [4, 7], [4])]
    letters = [make_path([1, 9], [c], max_length_tokens=9) for c in (4, 5)]
    rows = make_rows([*texts, *letters])
    assert [(r.paths, r.trunk, r.branches) for r in rows] == [
        ((0, 1, 2), [1, 2, 3], [[4, 5], [4], []]),
        ((3, 4), [1, 9], [[], []]),
    ]
    assert [row.num_tokens for row in rows] == [6, 2]
    two_tokens = make_rows([make_path([1, 2], [8, c], max_length_tokens=9) for c in (4, 5)])
    assert [(r.trunk, r.branches) for r in two_tokens] == [([1, 2, 8], [[], []])]


def test_memory_is_halved_until_the_batch_fits_and_nothing_is_lost(
    llama: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = naive(llama, tokenizer, PAIRS)
    forward = type(llama.model).forward
    sizes: list[int] = []

    def small_memory(self: torch.nn.Module, *, input_ids: torch.Tensor, **kwargs: torch.Tensor) -> object:
        sizes.append(len(input_ids))
        if len(input_ids) > 2:
            raise torch.OutOfMemoryError
        return forward(self, input_ids=input_ids, **kwargs)

    monkeypatch.setattr(type(llama.model), "forward", small_memory)
    fast = backend(llama, tokenizer, batch_tokens=100_000).loglikelihood(PAIRS)
    assert sizes[:3] == [6, 3, 1]
    assert_equal(fast, expected)


def test_a_question_that_does_not_fit_alone_raises(
    llama: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_args: object, **_kwargs: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(type(llama.model), "forward", no_memory)
    with pytest.raises(torch.OutOfMemoryError):
        backend(llama, tokenizer).loglikelihood(PAIRS[:4])


def test_many_pairs_encode_as_one_by_one_and_spanning_tokens_are_flagged(
    llama: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    pairs = [*PAIRS, ("Answer: m", "aybe"), ("Answer: ", "yes"), ("with </s> in", " it"), ("", " no")]
    assert encode_pairs(tokenizer, pairs) == [encode_pair(tokenizer, *pair) for pair in pairs]
    fast = backend(llama, tokenizer).loglikelihood(pairs[-4:])
    assert [f.boundary for f in fast] == ["separate", "joint", "joint", "joint"]
    assert tokenizer.eos_token_id not in encode_pair(tokenizer, "with </s> in", " it").context
    assert backend(llama, tokenizer).loglikelihood([]) == []
