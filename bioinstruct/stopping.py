"""Where a generated answer ends: at EOS or before a stop text, never at punctuation."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from bioinstruct.errors import UserError
from bioinstruct.tasks.base import Generation

CHECK_EVERY = 8
"""Tokens between two looks at the text: decoding at every step would cost a tiny model half its speed."""


class Stopper:
    """Finds EOS tokens and stop texts in generated tokens; a stop text may span tokens."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, stop: Sequence[str], *, eos_token_ids: frozenset[int]
    ) -> None:
        if not all(stop):
            raise UserError(f"stop={list(stop)!r} has an empty text, which ends every answer; leave it out")
        self.eos_token_ids = eos_token_ids
        self._tokenizer = tokenizer
        self._stop = tuple(stop)
        # A token holds at least one byte, so the longest stop text lies within this many tokens; one more in
        # front, because a decoder may drop the space that its first token begins with.
        self._tail = CHECK_EVERY + max((len(text.encode()) for text in stop), default=0) + 1

    def is_due(self, num_tokens: int) -> bool:
        """Whether the text should be looked at after this many tokens."""
        return bool(self._stop) and num_tokens % CHECK_EVERY == 0

    def has_stopped(self, tokens: Sequence[int]) -> bool:
        """Whether a stop text ends within the last `CHECK_EVERY` tokens."""
        return self._first_stop(self._decode(tokens[-self._tail :])) >= 0

    def finish(self, tokens: Sequence[int], *, num_truncated_tokens: int) -> Generation:
        """The answer in tokens, of which the last may be EOS; what follows the end is not counted."""
        ended = bool(tokens) and tokens[-1] in self.eos_token_ids
        tokens = tokens[:-1] if ended else tokens
        text = self._decode(tokens)
        end = self._first_stop(text)
        if end < 0:
            return Generation(text, len(tokens), "stop" if ended else "length", num_truncated_tokens)
        num_tokens = bisect_left(
            range(len(tokens)), True, key=lambda n: self._first_stop(self._decode(tokens[:n])) >= 0
        )
        return Generation(text[:end], num_tokens, "stop", num_truncated_tokens)

    def _decode(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(
            list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def _first_stop(self, text: str) -> int:
        """Position of the first stop text, −1 if there is none."""
        return min((at for at in map(text.find, self._stop) if at >= 0), default=-1)
