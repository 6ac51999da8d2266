"""Text to token ids: the one place where the boundary between prompt and answer is decided.

Training labels, option scoring and generation all encode through here, so that a model is asked exactly what
it was taught. Every sequence begins with exactly one BOS where the tokenizer has one; special tokens written
out in the text ("</s>") are encoded as plain characters.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    (`TemplateLM._encode_pair`, which moves line ends too: ours stay, since templates end with one). Where the
    joint encoding does not begin with the encoded context, both are encoded alone and `joint` is False.
    """
    return encode_pairs(tokenizer, [(context, continuation)])[0]


def encode_pairs(tokenizer: PreTrainedTokenizerBase, pairs: Sequence[tuple[str, str]]) -> list[EncodedPair]:
    """`encode_pair` of many, each context encoded once however many continuations it has."""
    contexts = [context.rstrip(" ") for context, _ in pairs]
    continuations = [c[len(s) :] + rest for (c, rest), s in zip(pairs, contexts, strict=True)]
    distinct = list(dict.fromkeys(contexts))
    context_ids = dict(zip(distinct, _encode_batch(tokenizer, distinct), strict=True))
    joint_ids = _encode_batch(tokenizer, [c + rest for c, rest in zip(contexts, continuations, strict=True)])
    bos = [] if tokenizer.bos_token_id is None else [int(tokenizer.bos_token_id)]
    encoded = []
    for context, continuation, joint in zip(contexts, continuations, joint_ids, strict=True):
        ids = context_ids[context]
        if joint[: len(ids)] == ids:
            encoded.append(EncodedPair(bos + ids, joint[len(ids) :], True))
        else:
            encoded.append(EncodedPair(bos + ids, _encode_batch(tokenizer, [continuation])[0], False))
    return encoded


def _encode_batch(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """Token ids of texts without special tokens."""
    if not texts:
        return []
    ids: list[list[int]] = tokenizer(
        texts, add_special_tokens=False, split_special_tokens=True, return_attention_mask=False
    )["input_ids"]
    return ids
