"""Greedy decoding of a batch: rows that have ended leave it, keys and values are written in place.

B rows, T tokens of the longest prompt, L tokens so far, C capacity, K key-value heads, D head size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import LlamaForCausalLM
from transformers.cache_utils import Cache, DynamicLayer

from bioinstruct.stopping import Stopper

COMPACT_BELOW = 0.75
"""Ended rows are removed when fewer than this share still runs: moving the cache costs a few steps' time."""


class RoomyLayer(DynamicLayer):
    """Keys and values of one layer in room for the whole answer; DynamicLayer copies all at every step."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._capacity = capacity
        self._room: list[torch.Tensor] = []

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: object, **_kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends (B, K, new, D) states; returns views of all so far, (B, K, L, D)."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            rows, heads, _, size = key_states.shape
            self._room = [key_states.new_empty(rows, heads, self._capacity, size) for _ in range(2)]
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        for room, states in zip(self._room, (key_states, value_states), strict=True):
            room[:, :, start:end] = states
        self.keys, self.values = (room[:, :, :end] for room in self._room)
        return self.keys, self.values

    def keep(self, rows: torch.Tensor, *, first: int) -> None:
        """Keeps some rows, and of them the columns from `first`."""
        num_tokens = self.get_seq_length() - first
        self._room = [room[rows, :, first:] for room in self._room]
        self.keys, self.values = (room[:, :, :num_tokens] for room in self._room)


def decode_greedily(
    model: LlamaForCausalLM, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, stopper: Stopper
) -> list[list[int]]:
    """The tokens generated after each prompt, EOS included; a row with a stop text may have a few more."""
    batch = _Batch(model, prompts, max_new_tokens=max_new_tokens)
    answers: list[list[int]] = [[] for _ in prompts]
    running = list(range(len(prompts)))  # what stands in the batch's rows
    ended: set[int] = set()
    for num_tokens in range(1, max_new_tokens + 1):
        for index, token in zip(running, batch.next_tokens(), strict=True):
            if index in ended:
                continue
            answers[index].append(token)
            is_due = stopper.is_due(num_tokens)
            if token in stopper.eos_token_ids or (is_due and stopper.has_stopped(answers[index])):
                ended.add(index)
        left = [row for row, index in enumerate(running) if index not in ended]
        if not left or num_tokens == max_new_tokens:
            break
        if len(left) < COMPACT_BELOW * len(running):
            batch.keep(left)
            running = [running[row] for row in left]
        batch.step()
    return answers


class _Batch:
    """Rows being decoded, prompts padded on the left."""

    def __init__(
        self, model: LlamaForCausalLM, prompts: Sequence[Sequence[int]], *, max_new_tokens: int
    ) -> None:
        self._model = model
        longest = max(map(len, prompts))
        padding = torch.tensor([longest - len(prompt) for prompt in prompts])
        capacity = longest + max_new_tokens
        self._cache = Cache(layers=[RoomyLayer(capacity) for _ in range(model.config.num_hidden_layers)])
        ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
        columns = torch.arange(capacity)
        is_token = (columns >= padding[:, None]).to(model.device)  # (B, C)
        mask = torch.where(is_token, 0.0, float("-inf")).to(model.dtype)
        self._mask = mask[:, None, None]  # (B, 1, 1, C)
        self._positions = (columns[:longest] - padding[:, None]).clamp(min=0).to(model.device)  # (B, T)
        self._next = self._forward(ids.to(model.device), _causal_mask(is_token[:, :longest], model.dtype))

    def next_tokens(self) -> list[int]:
        """The most likely next token of each row."""
        tokens: list[int] = self._next.tolist()
        return tokens

    def step(self) -> None:
        """Appends the next tokens."""
        num_tokens = self._cache.get_seq_length() + 1
        self._positions = self._positions[:, -1:] + 1
        self._next = self._forward(self._next[:, None], self._mask[..., :num_tokens])

    def keep(self, rows: list[int]) -> None:
        """Keeps some rows and drops the columns in which all of them are padded."""
        kept = torch.tensor(rows, device=self._model.device)
        mask = self._mask[kept]
        first = int((mask == 0).any(dim=0).flatten().nonzero()[0])
        for layer in self._cache.layers:
            assert isinstance(layer, RoomyLayer)
            layer.keep(kept, first=first)
        self._mask = mask[..., first:]
        self._positions, self._next = self._positions[kept], self._next[kept]

    def _forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The next tokens (B) after `ids` (B, new)."""
        output = self._model.model(
            input_ids=ids, attention_mask=mask, position_ids=self._positions, past_key_values=self._cache
        )
        logits: torch.Tensor = self._model.lm_head(output.last_hidden_state[:, -1])  # (B, V)
        return logits.float().argmax(-1)


def _causal_mask(is_token: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Additive causal mask of left-padded rows; padding sees itself: a row that sees nothing would be NaN."""
    num_tokens = is_token.shape[1]
    ones = torch.ones(num_tokens, num_tokens, dtype=torch.bool, device=is_token.device)
    allowed = (is_token[:, None, :] & ones.tril()) | torch.eye(
        num_tokens, dtype=torch.bool, device=is_token.device
    )
    mask = torch.zeros(allowed.shape, dtype=dtype, device=is_token.device)
    return mask.masked_fill_(~allowed, float("-inf"))[:, None]  # (B, 1, T, T)
