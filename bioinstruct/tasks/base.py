"""What a task is: examples of a dataset, a prompt protocol that renders them to items, and a scorer.

A task is one literal entry of the table in `bioinstruct.tasks`. Everything here is plain Python: no torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from bioinstruct.prompts import Template

Family = Literal["qa", "nli", "ie", "gen"]
ParseState = Literal["ok", "ambiguous", "none"]


@dataclass(frozen=True)
class Item:
    """One question as a model sees it, with what its answer is held against."""

    id: str
    context: str
    """The whole rendered prompt."""
    continuations: tuple[str, ...] = ()
    """Multiple choice: the texts whose log-likelihood after `context` is compared; empty for generation."""
    options: tuple[str, ...] = ()
    """Multiple choice: the option texts in the same order (acc_norm divides by the continuation's length)."""
    target: int = -1
    """Multiple choice: index of the right continuation."""
    reference: str = ""
    """Generation: the reference text, or for extraction the gold answer in the task's own answer format."""
    gold: tuple[tuple[str, str], ...] = ()
    """Extraction: the gold (type, surface text) entities of the source."""
    source: str = ""
    """Generation: the source text the answer is about (for baselines, grounding and browsing)."""


@dataclass(frozen=True)
class LogLikelihood:
    """Log-likelihood of one continuation after its context."""

    logprob: float
    """Summed log-probability of the continuation's tokens, in nats."""
    num_tokens: int
    is_greedy: bool
    """Whether every token is the model's most likely one."""
    boundary: Literal["joint", "separate"] = "joint"
    """`separate`: a token would span the join, so the continuation was encoded alone."""
    num_truncated_tokens: int = 0
    """Tokens cut from the left of the context because both did not fit."""


@dataclass(frozen=True)
class Generation:
    """One generated answer: the text before EOS or the first stop text."""

    text: str
    num_tokens: int
    finish: Literal["stop", "length"] = "stop"
    num_truncated_tokens: int = 0


class Backend(Protocol):
    """What evaluates: any object with these three members can be passed to `bioinstruct.evaluate`."""

    @property
    def fingerprint(self) -> str:
        """Identity of model, adapter and precision; saved predictions are reused only under the same one."""

    def loglikelihood(self, pairs: Sequence[tuple[str, str]]) -> list[LogLikelihood]:
        """Log-likelihoods of (context, continuation) pairs, in order; equal contexts stand side by side."""

    def generate(self, prompts: Sequence[str], *, max_new_tokens: int, stop: Sequence[str]) -> list[Generation]:
        """Greedy continuations of the prompts, in order, cut before the first text of `stop`."""


@dataclass(frozen=True)
class Answer:
    """What a backend said to one item: log-likelihoods of its continuations, or a generated text."""

    item_id: str
    loglikelihoods: tuple[LogLikelihood, ...] = ()
    generation: Generation | None = None


@dataclass(frozen=True)
class Estimate:
    """One metric with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int
    signature: str
    """Library, version, flavour and options, like sacrebleu's."""


@dataclass(frozen=True)
class ItemStat:
    """What one item contributes to the headline metric; paired tests are computed from these.

    `mean` metrics use `value` alone; `micro_f1` metrics use the three counts.
    """

    item_id: str
    value: float
    """In [0, 1]: 1/0 for right or wrong, the item's own F1 or ROUGE otherwise."""
    num_true_positives: int = 0
    num_predicted: int = 0
    num_gold: int = 0
    parse: ParseState = "ok"


@dataclass(frozen=True)
class Score:
    """The result of a task under one protocol."""

    task: str
    family: Family
    protocol: str
    split: str
    n: int
    headline: str
    """Name of the metric in `metrics` that stands in tables."""
    reduction: Literal["mean", "micro_f1"]
    """How `items` reduce to the headline metric."""
    metrics: Mapping[str, Estimate]
    baselines: Mapping[str, float]
    """Model-free values of the headline metric: majority, uniform, longest option, source copied …"""
    items: tuple[ItemStat, ...] = field(repr=False)

    @property
    def parse_failure_rate(self) -> float:
        """Share of items whose answer could not be parsed unambiguously."""
        return sum(item.parse != "ok" for item in self.items) / max(len(self.items), 1)


@dataclass(frozen=True)
class Task:
    """A dataset with its protocols and its scorer."""

    name: str
    family: Family
    kind: Literal["choice", "generation"]
    protocols: tuple[str, ...]
    """Names of the prompt protocols it can be rendered in, the default first."""
    splits: Mapping[str, tuple[str, ...]]
    """Split name → the files it is read from, relative to the data root, in the official file names."""
    how_to_get: str
    """What to tell a user whose files are missing: source, licence, the exact steps."""
    load: Callable[[Path, str], list[Example]]
    """(data root, split) → examples. Raises PrerequisiteError for missing files, UserError for malformed ones."""
    render: Callable[[Sequence[Example], str, Template], list[Item]]
    """(examples, protocol, template of the model) → items."""
    score: Callable[[Sequence[Item], Sequence[Answer]], TaskScore]
    max_new_tokens: int = 256


@dataclass(frozen=True)
class Example:
    """One record of an evaluation dataset, before it is rendered."""

    id: str
    question: str
    source: str = ""
    options: tuple[str, ...] = ()
    target: int = -1
    reference: str = ""
    gold: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class TaskScore:
    """What a scorer returns: the headline metric, all metrics, baselines and the items' contributions."""

    headline: str
    reduction: Literal["mean", "micro_f1"]
    metrics: Mapping[str, Estimate]
    baselines: Mapping[str, float]
    items: tuple[ItemStat, ...]


def protocol_hash(task: Task, *, protocol: str, split: str, items: Sequence[Item], max_new_tokens: int) -> str:
    """First 12 hex digits over everything that a score depends on besides the model: prompts, targets, limits."""
    payload = [
        [task.name, protocol, split, max_new_tokens if task.kind == "generation" else 0],
        [[i.id, i.context, i.continuations, i.target, i.reference, i.gold] for i in items],
    ]
    return hashlib.sha256(json.dumps(payload, ensure_ascii=False).encode()).hexdigest()[:12]
