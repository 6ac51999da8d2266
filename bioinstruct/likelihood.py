"""Log-likelihoods of continuations, each question computed once however many options it has.

A question and its options lie in one row: the tokens that all options share (the trunk), then the further
tokens of each option (its branch). An attention mask lets a branch see the trunk and itself, its positions
continue the trunk's, so every option gets exactly the numbers it would get alone. Options that differ only in
their last token (letters) have no branches: one position's logits serve them all.

B rows, T tokens of the longest row, H hidden size, R positions whose logits are wanted, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from transformers import LlamaForCausalLM

from bioinstruct.errors import UserError

MAX_LOGITS = 2**25
"""Logits held at once (R × V), 128 MiB in float32."""


class Path(NamedTuple):
    """One continuation after its context, as the model reads it."""

    inputs: list[int]
    """Context and continuation without its last token, cut from the left where too long."""
    targets: list[int]
    """The tokens of the continuation: what the last `len(targets)` inputs should predict."""
    num_truncated_tokens: int


@dataclass(frozen=True)
class Row:
    """One question: what its options share, and what each of them adds."""

    paths: tuple[int, ...]
    """Indices of its paths."""
    trunk: list[int]
    branches: list[list[int]]

    @property
    def num_tokens(self) -> int:
        return len(self.trunk) + sum(map(len, self.branches))


class PathScore(NamedTuple):
    """Summed log-probability of a path's targets, and whether each is the model's most likely token."""

    logprob: float
    is_greedy: bool


def make_path(context: Sequence[int], continuation: Sequence[int], *, max_length_tokens: int) -> Path:
    """The last `max_length_tokens` inputs of context and continuation.

    The cut is that of lm-evaluation-harness 0.4.13 (`HFLM._loglikelihood_tokens`): from the left, the last
    token of the continuation not counted, BOS not kept.
    """
    inputs = [*context, *continuation][-(max_length_tokens + 1) : -1]
    if not continuation or len(inputs) < len(continuation):
        raise UserError(
            f"a continuation of {len(continuation)} tokens after a context of {len(context)} cannot be "
            f"scored; allowed: 1 to {max_length_tokens} tokens after at least one (BOS or text)"
        )
    num_tokens = len(context) + len(continuation) - 1
    return Path(inputs, list(continuation), num_tokens - len(inputs))


def make_rows(paths: Sequence[Path]) -> list[Row]:
    """Paths with the same context, standing side by side, as one row each."""
    groups: list[list[int]] = []
    for index, path in enumerate(paths):
        if groups and _context(path) == _context(paths[groups[-1][0]]):
            groups[-1].append(index)
        else:
            groups.append([index])
    rows = []
    for group in groups:
        num_shared = _num_shared([paths[index].inputs for index in group])
        trunk = paths[group[0]].inputs[:num_shared]
        rows.append(Row(tuple(group), trunk, [paths[index].inputs[num_shared:] for index in group]))
    return rows


def score_rows(model: LlamaForCausalLM, rows: Sequence[Row], paths: Sequence[Path]) -> dict[int, PathScore]:
    """Path index → score, for all paths of the rows, in one forward pass."""
    longest = max(row.num_tokens for row in rows)
    hidden = _hidden_states(model, rows, longest=longest)  # (B·T, H)
    wanted = _wanted(rows, paths, longest=longest)
    logprobs: dict[int, list[float]] = {index: [] for row in rows for index in row.paths}
    is_greedy = dict.fromkeys(logprobs, True)
    chunk = max(MAX_LOGITS // model.config.vocab_size, 1)
    positions = list(wanted)
    for start in range(0, len(positions), chunk):
        part = positions[start : start + chunk]
        targets = [(r, index, token) for r, at in enumerate(part) for index, token in wanted[at]]
        local, indices, tokens = zip(*targets, strict=True)
        logits = model.lm_head(hidden[part]).float()  # (R, V)
        picked = logits[local, tokens] - logits.logsumexp(-1)[list(local)]
        best = logits.argmax(-1)[list(local)].tolist()
        for index, token, value, top in zip(indices, tokens, picked.tolist(), best, strict=True):
            logprobs[index].append(value)
            is_greedy[index] &= token == top
    return {index: PathScore(sum(values), is_greedy[index]) for index, values in logprobs.items()}


def _context(path: Path) -> list[int]:
    return path.inputs[: len(path.inputs) - len(path.targets) + 1]


def _num_shared(sequences: Sequence[Sequence[int]]) -> int:
    """Length of the longest common prefix."""
    num_shared = min(map(len, sequences))
    for position in range(num_shared):
        if len({sequence[position] for sequence in sequences}) > 1:
            return position
    return num_shared


def _hidden_states(model: LlamaForCausalLM, rows: Sequence[Row], *, longest: int) -> torch.Tensor:
    """Last hidden states of the rows, padded on the right to `longest`, one after the other: (B·T, H)."""
    ids, positions, branches = [], [], []
    for row in rows:
        num_trunk, padding = len(row.trunk), longest - row.num_tokens
        ids.append([*row.trunk, *(token for branch in row.branches for token in branch), *[0] * padding])
        positions.append([*range(num_trunk), *(num_trunk + i for b in row.branches for i in range(len(b))),
                          *range(padding)])  # fmt: skip
        branches.append([*[0] * num_trunk, *(n for n, b in enumerate(row.branches, 1) for _ in b),
                         *[-1] * padding])  # fmt: skip
    device = model.device
    mask = None
    position_ids = None
    if any(any(row.branches) for row in rows):  # else plain causal attention is the same, and faster
        mask = _tree_mask(torch.tensor(branches, device=device), model.dtype)
        position_ids = torch.tensor(positions, device=device)
    output = model.model(
        input_ids=torch.tensor(ids, device=device),
        attention_mask=mask,
        position_ids=position_ids,
        use_cache=False,
    )
    hidden: torch.Tensor = output.last_hidden_state
    return hidden.flatten(0, 1)


def _tree_mask(branches: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Mask to add, from (B, T) branch numbers (0 the trunk, −1 padding): trunk and own branch so far.

    Padding sees itself: a row that sees nothing would be NaN.
    """
    num_tokens = branches.shape[1]
    before = torch.ones(num_tokens, num_tokens, dtype=torch.bool, device=branches.device).tril()
    query, key = branches[:, :, None], branches[:, None, :]
    allowed = before & ((key == 0) | (key == query))  # (B, T, T)
    mask = torch.zeros(allowed.shape, dtype=dtype, device=branches.device)
    return mask.masked_fill_(~allowed, float("-inf"))[:, None]  # (B, 1, T, T)


def _wanted(rows: Sequence[Row], paths: Sequence[Path], *, longest: int) -> dict[int, list[tuple[int, int]]]:
    """Flat position of a hidden state → (path index, target token) pairs whose logits come from it."""
    wanted: dict[int, list[tuple[int, int]]] = {}
    for number, row in enumerate(rows):
        trunk = number * longest
        start = trunk + len(row.trunk)
        for index, branch in zip(row.paths, row.branches, strict=True):
            states = [*range(trunk, trunk + len(row.trunk)), *range(start, start + len(branch))]
            targets = paths[index].targets
            for state, token in zip(states[-len(targets) :], targets, strict=True):
                wanted.setdefault(state, []).append((index, token))
            start += len(branch)
    return wanted
