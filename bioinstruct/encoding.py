"""Text to token ids: the one place where the boundary between prompt and answer is decided.

Training labels, option scoring and generation all encode through here, so that a model is asked exactly what it
was taught. Every sequence begins with exactly one BOS where the tokenizer has one; special tokens written out in
the text ("</s>") are encoded as plain characters.
"""

from __future__ import annotations

from typing import NamedTuple

from transformers import PreTrainedTokenizerBase


class EncodedPair(NamedTuple):
    """A context and its continuation as token ids."""

    context: list[int]
    """BOS and the context."""
    continuation: list[int]
    joint: bool
    """False: a token would span the join, so the continuation was encoded on its own."""


def encode_text(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a text with one BOS in front (where the tokenizer has one) and no EOS."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    return ids if tokenizer.bos_token_id is None else [int(tokenizer.bos_token_id), *ids]


def encode_pair(tokenizer: PreTrainedTokenizerBase, context: str, continuation: str) -> EncodedPair:
    """Context and continuation encoded together and cut at the length of the encoded context.

    Trailing spaces of the context move to the continuation, as in lm-evaluation-harness 0.4.13
    (`TemplateLM._encode_pair`, which moves line ends too: ours stay, since templates end with one). Where the joint encoding does not begin with the encoded context, both are
    encoded alone and `joint` is False.
    """
    stripped = context.rstrip(" ")
    continuation = context[len(stripped) :] + continuation
    context = stripped
    context_ids = encode_text(tokenizer, context)
    joint_ids = encode_text(tokenizer, context + continuation)
    if joint_ids[: len(context_ids)] == context_ids:
        return EncodedPair(context_ids, joint_ids[len(context_ids) :], True)
    alone = tokenizer.encode(continuation, add_special_tokens=False, split_special_tokens=True)
    return EncodedPair(context_ids, list(alone), False)
