"""Causal attention within each record of a packed row, as an attention function of transformers.

transformers' own handling of packed `position_ids` is silently off unless `attention_mask` is None and
`use_cache` is False, and documents then attend to each other. Here the boundaries are passed explicitly, and a
call without them is plain causal attention of padded rows.

Records of similar length are computed together, padded on the right: a causal query never sees padding behind
it, so no mask is needed and the result is exact.

Legend: B rows, T tokens, H heads, K key/value heads, E head width, D records of a group, L their longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

ATTENTION_NAME = "bioinstruct_packed"

LENGTH_TOLERANCE = 0.75
"""Records of one group are at least this share of its longest one (ours: bounds padding in attention)."""


@dataclass(frozen=True)
class Group:
    """Records that lie side by side in the row and are computed in one call."""

    start: int
    """First position of the group in the row."""
    num_tokens: int
    num_records: int
    longest: int
    gather: torch.Tensor | None
    """(D * L,) positions within the group, padding pointing at its first token; None: no padding needed."""
    valid: torch.Tensor | None
    """(num_tokens,) which of the D * L positions are real; None: all."""


@dataclass(frozen=True)
class Packing:
    """Where the records of a packed row lie; made once a batch, on the host."""

    groups: tuple[Group, ...]

    def to(self, device: torch.device) -> Packing:
        """The same on a device."""

        def move(index: torch.Tensor | None) -> torch.Tensor | None:
            return None if index is None else index.pin_memory().to(device, non_blocking=True)

        return Packing(
            tuple(
                Group(g.start, g.num_tokens, g.num_records, g.longest, move(g.gather), move(g.valid))
                for g in self.groups
            )
        )


def make_packing(lengths: Sequence[int]) -> Packing:
    """Groups of neighbouring records of similar length; `lengths` must fall or stay equal along the row."""
    groups: list[Group] = []
    members: list[int] = []
    start = 0
    for length in [*lengths, 0]:
        if members and length < LENGTH_TOLERANCE * members[0]:
            groups.append(_make_group(start, members))
            start += sum(members)
            members = []
        members.append(length)
    return Packing(tuple(groups))


def _make_group(start: int, lengths: Sequence[int]) -> Group:
    longest, total = lengths[0], sum(lengths)
    if all(length == longest for length in lengths):
        return Group(start, total, len(lengths), longest, None, None)
    size = torch.tensor(lengths)  # (D,)
    first = torch.cumsum(size, 0) - size  # (D,)
    offset = torch.arange(longest)  # (L,)
    real = offset[None] < size[:, None]  # (D, L)
    gather = torch.where(real, first[:, None] + offset[None], 0)  # (D, L)
    return Group(start, total, len(lengths), longest, gather.flatten(), real.flatten().nonzero().squeeze(1))


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    packing: Packing | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """(B, T, H, E) attention of query (B, H, T, E) over key and value (B, K, T, E), causal within each record.

    `packing` is None for padded rows, which begin at their first position. A mask is refused: it would be
    ignored.
    """
    if attention_mask is not None:
        raise ValueError("packed attention takes record boundaries (packing=…), not a mask")
    shared = key.shape[1] != query.shape[1]
    if packing is None:
        out = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=shared)
        return out.transpose(1, 2), None
    parts = [_attend_group(query, key, value, group=group, scaling=scaling, shared=shared) for group in packing.groups]
    return torch.cat(parts).unsqueeze(0), None  # (1, T, H, E)


def _attend_group(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    group: Group,
    scaling: float | None,
    shared: bool,
) -> torch.Tensor:
    """(num_tokens, H, E) attention of one group."""

    def split(tensor: torch.Tensor) -> torch.Tensor:
        rows = tensor[0, :, group.start : group.start + group.num_tokens].transpose(0, 1)  # (T, H, E)
        if group.gather is not None:
            rows = rows.index_select(0, group.gather)  # (D * L, H, E)
        return rows.unflatten(0, (group.num_records, group.longest)).transpose(1, 2)  # (D, H, L, E)

    out = scaled_dot_product_attention(
        split(query), split(key), split(value), is_causal=True, scale=scaling, enable_gqa=shared
    )
    rows = out.transpose(1, 2).flatten(0, 1)  # (D * L, H, E)
    return rows if group.valid is None else rows.index_select(0, group.valid)


def register_attention() -> None:
    """Makes the function known to transformers; no mask function is registered, so no mask is ever built."""
    AttentionInterface.register(ATTENTION_NAME, packed_attention)
