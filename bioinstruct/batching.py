"""From encoded records to the tensors of one optimizer step.

The plan of a run is a pure function: (seed, epoch, step) → the records of one optimizer step. How a step is cut
into micro-batches, packed or padded, and dealt to ranks is execution only and does not change the update.

Legend: T tokens of a packed row, D records, L longest record, R supervised positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bioinstruct.attention import Packing, make_packing
from bioinstruct.randomness import derive_seed


@dataclass(frozen=True)
class EncodedRecord:
    """One instruction record as token ids."""

    record_id: str
    category: str
    input_ids: tuple[int, ...]
    """BOS, prompt, response, EOS; at most max_length_tokens."""
    prompt_length: int
    """Tokens of BOS and prompt; the rest is the response, on which the loss is taken."""

    @property
    def num_tokens(self) -> int:
        return len(self.input_ids)

    @property
    def num_response_tokens(self) -> int:
        return len(self.input_ids) - self.prompt_length


@dataclass(frozen=True)
class PlannedStep:
    """Which records one optimizer step learns from."""

    step: int
    """Counted from 0 over the whole run."""
    epoch: int
    records: tuple[int, ...]
    """Indices into the run's records."""


@dataclass(frozen=True)
class MicroBatch:
    """Tensors of one forward and backward pass."""

    input_ids: torch.Tensor
    """(1, T) packed, or (D, L) padded with 0."""
    position_ids: torch.Tensor
    """Same shape; counted from 0 within each record."""
    packing: Packing | None
    """Where the records lie in a packed row; None for padded rows."""
    rows: torch.Tensor
    """(R,) positions in the flattened input whose next token is supervised."""
    targets: torch.Tensor
    """(R,) the next tokens."""
    category_index: torch.Tensor
    """(R,) index of the record's category in the run's list of categories."""
    num_tokens: int
    """Real tokens, without padding."""


@dataclass(frozen=True)
class StepBatch:
    """One optimizer step as one rank sees it."""

    step: int
    epoch: int
    micro_batches: tuple[MicroBatch, ...]
    num_response_tokens: int
    """Over all micro-batches of all ranks: the loss is divided by it."""
    num_tokens: int
    """Over all ranks."""
    record_ids: tuple[str, ...]


def plan_steps(
    num_records: int, *, records_per_step: int, epochs: int, seed: int, max_steps: int | None = None
) -> list[PlannedStep]:
    """The optimizer steps of a run: each epoch visits every record once, in an order of its own.

    The last step of an epoch holds what is left. Records must be in an order that does not depend on the file
    (by record id).
    """
    steps: list[PlannedStep] = []
    for epoch in range(epochs):
        order = np.random.default_rng(derive_seed(seed, "order", epoch)).permutation(num_records)
        for start in range(0, num_records, records_per_step):
            if max_steps is not None and len(steps) == max_steps:
                return steps
            chosen = order[start : start + records_per_step]
            steps.append(PlannedStep(len(steps), epoch, tuple(int(index) for index in chosen)))
    return steps


def pack_bins(lengths: Sequence[int], *, capacity: int, multiple_of: int = 1) -> list[list[int]]:
    """Indices in bins of at most `capacity` tokens (first fit, longest first); their number a multiple.

    Bins are split, largest first, until their number is a multiple of `multiple_of` (the ranks); where there are
    fewer records than ranks, empty bins are added. A record longer than `capacity` gets a bin of its own.
    """
    bins: list[list[int]] = []
    loads: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        for number, load in enumerate(loads):
            if load + lengths[index] <= capacity:
                bins[number].append(index)
                loads[number] += lengths[index]
                break
        else:
            bins.append([index])
            loads.append(lengths[index])
    while len(bins) % multiple_of:
        largest = max(range(len(bins)), key=lambda number: (len(bins[number]) > 1, loads[number]))
        moved = bins[largest][1::2] if len(bins[largest]) > 1 else []
        kept = [index for index in bins[largest] if index not in moved]
        bins[largest], loads[largest] = kept, sum(lengths[i] for i in kept)
        bins.append(moved)
        loads.append(sum(lengths[i] for i in moved))
    return bins


def build_step(
    planned: PlannedStep,
    records: Sequence[EncodedRecord],
    *,
    categories: Sequence[str],
    tokens_per_batch: int,
    packing: bool,
    rank: int = 0,
    world_size: int = 1,
) -> StepBatch:
    """The micro-batches of one optimizer step that belong to `rank`; every rank gets the same number of them."""
    chosen = [records[index] for index in planned.records]
    bins = pack_bins([r.num_tokens for r in chosen], capacity=tokens_per_batch, multiple_of=world_size)
    mine = [[chosen[index] for index in members] for members in bins[rank::world_size]]
    build = pack_records if packing else pad_records
    return StepBatch(
        step=planned.step,
        epoch=planned.epoch,
        micro_batches=tuple(build(members, categories=categories) for members in mine if members),
        num_response_tokens=sum(r.num_response_tokens for r in chosen),
        num_tokens=sum(r.num_tokens for r in chosen),
        record_ids=tuple(r.record_id for r in chosen),
    )


def pack_records(records: Sequence[EncodedRecord], *, categories: Sequence[str]) -> MicroBatch:
    """One row without padding, longest record first."""
    ordered = sorted(records, key=lambda r: -r.num_tokens)
    lengths = [r.num_tokens for r in ordered]
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    rows, targets, category = _supervision(ordered, starts, categories)
    return MicroBatch(
        input_ids=torch.tensor([[token for r in ordered for token in r.input_ids]]),  # (1, T)
        position_ids=torch.from_numpy(np.concatenate([np.arange(n) for n in lengths])[None]),  # (1, T)
        packing=make_packing(lengths),
        rows=rows,
        targets=targets,
        category_index=category,
        num_tokens=sum(lengths),
    )


def pad_records(records: Sequence[EncodedRecord], *, categories: Sequence[str]) -> MicroBatch:
    """One row per record, padded on the right with 0; causal attention never looks there."""
    width = max(r.num_tokens for r in records)
    input_ids = np.zeros((len(records), width), dtype=np.int64)
    for number, record in enumerate(records):
        input_ids[number, : record.num_tokens] = record.input_ids
    starts = np.arange(len(records)) * width
    rows, targets, category = _supervision(records, starts, categories)
    return MicroBatch(
        input_ids=torch.from_numpy(input_ids),  # (D, L)
        position_ids=torch.arange(width).repeat(len(records), 1),  # (D, L)
        packing=None,
        rows=rows,
        targets=targets,
        category_index=category,
        num_tokens=sum(r.num_tokens for r in records),
    )


def _supervision(
    records: Sequence[EncodedRecord], starts: np.ndarray, categories: Sequence[str]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(rows, targets, category index) from spans, never from token ids: EOS is learnt even where pad is EOS."""
    rows: list[int] = []
    targets: list[int] = []
    category: list[int] = []
    for record, start in zip(records, starts, strict=True):
        rows.extend(range(int(start) + record.prompt_length - 1, int(start) + record.num_tokens - 1))
        targets.extend(record.input_ids[record.prompt_length :])
        category.extend([categories.index(record.category)] * record.num_response_tokens)
    return torch.tensor(rows), torch.tensor(targets), torch.tensor(category)


def to_device(batch: MicroBatch, device: torch.device) -> MicroBatch:
    """The micro-batch with its tensors on `device`; copied without waiting."""
    if device.type == "cpu":
        return batch

    def move(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.pin_memory().to(device, non_blocking=True)

    return MicroBatch(
        input_ids=move(batch.input_ids),
        position_ids=move(batch.position_ids),
        packing=None if batch.packing is None else batch.packing.to(device),
        rows=move(batch.rows),
        targets=move(batch.targets),
        category_index=move(batch.category_index),
        num_tokens=batch.num_tokens,
    )
