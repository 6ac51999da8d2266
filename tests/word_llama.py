"""A small LLaMA in memory: a tokenizer with words, and weights large enough to have opinions."""

from __future__ import annotations

import json
from collections.abc import Sequence

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WORDS = (
    "Question: Which drug lowers the blood pressure of a 40-year-old man with TNF-α and fever?\nAnswer: "
    "yes no maybe metformin lisinopril amoxicillin. ### Instruction: ### Input: ### Response:\n Choices:\nA. "
    "B. C. D. "
)


def word_tokenizer(texts: Sequence[str] = (WORDS,), vocab_size: int = 420) -> PreTrainedTokenizerFast:
    """A byte-fallback BPE of LLaMA's kind, learnt from texts: <s> is 1 and stands in front, </s> is 2."""
    bpe = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    bpe.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    bpe.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=["<unk>", "<s>", "</s>", *byte_tokens], show_progress=False
    )
    bpe.train_from_iterator([*texts, *texts], trainer)
    state = json.loads(bpe.to_str())
    state["added_tokens"] = state["added_tokens"][:3]  # the trainer takes bytes as special tokens only
    bpe = Tokenizer.from_str(json.dumps(state))
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=bpe, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def word_llama(
    vocab_size: int,
    *,
    seed: int = 0,
    hidden_size: int = 32,
    layers: int = 2,
    num_key_value_heads: int = 2,
    tie_word_embeddings: bool = False,
    initializer_range: float = 0.3,
    attention_bias: bool = False,
) -> LlamaForCausalLM:
    """Random weights from a seed; four heads, Llama 3's position scaling from 64 tokens on."""
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=num_key_value_heads,
        tie_word_embeddings=tie_word_embeddings,
        attention_bias=attention_bias,
        initializer_range=initializer_range,
        max_position_embeddings=4096,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
        bos_token_id=1,
        eos_token_id=2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).eval()
