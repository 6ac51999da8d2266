"""The cells of a comparison: one tuned (or untuned) model each, with its scores.

A cell that failed, waits or lacks results stays in the list with its state, so that tables show what is
missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from bioinstruct.statistics import Estimate

State = Literal["done", "failed", "interrupted", "waiting", "running"]
STATES: tuple[State, ...] = ("done", "failed", "interrupted", "waiting", "running")

Reduction = Literal["mean", "micro_f1"]


@dataclass(frozen=True)
class Items:
    """Per-item contributions of one score, sorted by item id; arrays of one length n."""

    ids: tuple[str, ...]
    value: np.ndarray
    true_positives: np.ndarray
    predicted: np.ndarray
    gold: np.ndarray


@dataclass(frozen=True)
class CellScore:
    """One task under one protocol, as scored for one cell."""

    task: str
    family: str
    protocol: str
    protocol_hash: str
    split: str
    n: int
    headline: str
    reduction: Reduction
    parse_failure_rate: float
    metrics: Mapping[str, Estimate]
    baselines: Mapping[str, float]
    items: Items | None = field(default=None, repr=False)
    """None where only the summary is known; gains are then unpaired."""

    @property
    def estimate(self) -> Estimate:
        return self.metrics[self.headline]


@dataclass(frozen=True)
class Training:
    """What a tuned cell was trained on."""

    num_records: int
    num_tokens: int
    num_steps: int
    records_per_category: Mapping[str, int]


@dataclass(frozen=True)
class Cell:
    """One cell of the grid with its state and scores."""

    run_id: str
    state: State
    model: str
    category: str
    include: tuple[str, ...]
    seed: int | None = None
    data: str = ""
    design: str = "natural"
    error: str | None = None
    training: Training | None = None
    scores: tuple[CellScore, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    """Flat configuration values that change results, key → text; tells variants of a grid apart."""

    @property
    def is_tuned(self) -> bool:
        return self.category != "none"
