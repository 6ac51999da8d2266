"""Batches by token budget, longest first, halved when memory runs out.

Longest first: an out-of-memory error comes in the first batch and not in the last, and neighbours have nearly
the same length, so that little is padded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch

log = logging.getLogger(__name__)


def run_longest_first(lengths: Sequence[int], run: Callable[[list[int]], None], *, batch_tokens: int) -> None:
    """Calls `run` with batches of indices into `lengths`, of at most `batch_tokens` padded, at least one.

    When `run` runs out of memory, the budget is halved for that batch and all later ones, and the batch is
    run again; a single item that does not fit raises. `run` must store its results only when it is done.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    start = 0
    while start < len(order):
        longest = max(lengths[order[start]], 1)
        batch = order[start : start + max(batch_tokens // longest, 1)]
        if _fits(run, batch):
            start += len(batch)
        else:
            batch_tokens = longest * (len(batch) // 2)
            log.warning("out of memory with %d rows of %d tokens; batch_tokens is now %d",
                        len(batch), longest, batch_tokens)  # fmt: skip
            torch.cuda.empty_cache()


def _fits(run: Callable[[list[int]], None], batch: list[int]) -> bool:
    """Whether the batch ran; False when it ran out of memory and can be made smaller."""
    try:
        run(batch)
    except torch.OutOfMemoryError:
        if len(batch) == 1:
            raise
        return False
    return True
