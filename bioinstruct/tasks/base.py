"""What a task is: examples of a dataset, a prompt protocol that renders them to items, and a scorer.

A task is one literal entry of the table in `bioinstruct.tasks`. Everything here is plain Python: no torch.

Words: a split is read from one of its layouts (the official files, or a Hub or benchmark copy of them); an
example is a record before rendering; a protocol renders it to an item; an answer is what a backend said to an
item.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from bioinstruct.errors import PrerequisiteError, UserError
from bioinstruct.prompts import Template
from bioinstruct.statistics import Estimate

Family = Literal["qa", "nli", "ie", "gen"]
ParseState = Literal["ok", "ambiguous", "none"]

REASONING_TOKENS = 1024
"""Room for step-by-step reasoning in front of an answer [C]."""


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
class Example:
    """One record of an evaluation dataset, before it is rendered."""

    id: str
    question: str
    source: str = ""
    options: tuple[str, ...] = ()
    target: int = -1
    reference: str = ""
    gold: tuple[tuple[str, str], ...] = ()
    group: str = ""
    """What the record belongs to in its dataset: an MMLU subject, a note section; read by prompts, never
    scored."""


@dataclass(frozen=True)
class Layout:
    """One way in which a split lies on disk."""

    files: tuple[str, ...]
    """Relative to the data root, in the publisher's own file names; may hold * for what a release numbers."""
    read: Callable[[Sequence[Path]], list[Example]]
    """Examples of the files, in the same order as `files`. Raises UserError for a malformed record."""

    def paths(self, root: Path) -> list[Path]:
        """The files below a data root, those of a pattern sorted by name; empty where any is missing."""
        found = [sorted(root.glob(name)) if "*" in name else [root / name] for name in self.files]
        complete = all(group and all(path.is_file() for path in group) for group in found)
        return [path for group in found for path in group] if complete else []


@dataclass(frozen=True)
class TaskScore:
    """What a scorer returns: the headline metric, all metrics, baselines and the items' contributions."""

    headline: str
    reduction: Literal["mean", "micro_f1"]
    metrics: Mapping[str, Estimate]
    baselines: Mapping[str, float]
    items: tuple[ItemStat, ...]


@dataclass(frozen=True)
class Task:
    """A dataset with its protocols and its scorer."""

    name: str
    family: Family
    kind: Literal["choice", "generation"]
    protocols: tuple[str, ...]
    """Names of the prompt protocols that are reported when none is asked for."""
    splits: Mapping[str, tuple[Layout, ...]]
    """Split name → the layouts it can be read from; the first complete one is taken, the official one comes
    first."""
    how_to_get: str
    """What to tell a user whose files are missing: source, licence, the exact steps."""
    render: Callable[[Sequence[Example], str, Template], list[Item]]
    """(examples, protocol, template of the model) → items."""
    score: Callable[[Sequence[Item], Sequence[Answer]], TaskScore]
    max_new_tokens: int = 256
    """Longest written answer, in tokens, unless the user or the protocol says otherwise."""
    further_protocols: tuple[str, ...] = ()
    """Names of the protocols it can be rendered in besides."""
    shots_split: str = ""
    """Split that few-shot examples are taken from; "" where there is none."""

    def new_tokens(self, protocol: str) -> int:
        """Longest written answer under a protocol: one that asks for reasoning first needs more."""
        return max(self.max_new_tokens, REASONING_TOKENS) if protocol == "mirage" else self.max_new_tokens

    def layout(self, root: Path, split: str) -> Layout:
        """The first layout of a split whose files are all there.

        Raises UserError for an unknown split, PrerequisiteError for missing files.
        """
        if split not in self.splits:
            raise UserError(f"task {self.name} has no split {split!r}; its splits: {', '.join(self.splits)}")
        for layout in self.splits[split]:
            if not layout.files or layout.paths(root):
                return layout
        wanted = "; or ".join(", ".join(layout.files) for layout in self.splits[split])
        raise PrerequisiteError(f"task {self.name}, split {split}: not below {root}: {wanted}. {self.how_to_get}")

    def load(self, root: Path, split: str) -> list[Example]:
        """The checked examples of a split, in file order.

        Raises PrerequisiteError for missing files, UserError for malformed ones: nothing is dropped in
        silence.
        """
        layout = self.layout(root, split)
        paths = layout.paths(root)
        place = ", ".join(map(str, paths[:2])) + (", …" if paths[2:] else "") or self.name
        examples = layout.read(paths)
        if not examples:
            raise UserError(f"{place} holds no examples for task {self.name}; restore it. {self.how_to_get}")
        seen: set[str] = set()
        for example in examples:
            if example.id in seen:
                raise UserError(f"{place}: id {example.id!r} stands twice; remove one of the two records")
            seen.add(example.id)
        return examples


def missing_files(task: Task, root: Path, split: str) -> list[Path]:
    """Files of the split's official layout that are not there; empty when any layout is complete."""
    try:
        task.layout(root, split)
    except PrerequisiteError:
        files = task.splits[split][0].files
        return [root / name for name in files if "*" in name or not (root / name).is_file()]
    return []


def lowest_ids(examples: Sequence[Example], limit: int | None) -> list[Example]:
    """The `limit` examples whose id's sha256 is lowest, in the given order: no file order moves them."""
    if limit is None or limit >= len(examples):
        return list(examples)
    if limit < 1:
        raise UserError(f"limit is {limit}; allowed: null (all examples) or at least 1")
    ranked = sorted(examples, key=lambda example: hashlib.sha256(example.id.encode()).hexdigest())
    chosen = {example.id for example in ranked[:limit]}
    return [example for example in examples if example.id in chosen]


def protocol_hash(
    task: Task,
    *,
    protocol: str,
    split: str,
    items: Sequence[Item],
    max_new_tokens: int,
    stop: Sequence[str] = (),
) -> str:
    """First 12 hex digits over everything that a score depends on besides the model."""
    generates = any(not item.continuations for item in items)
    payload = [
        [task.name, protocol, split, [max_new_tokens, list(stop)] if generates else []],
        [[i.id, i.context, i.continuations, i.options, i.target, i.reference, i.gold] for i in items],
    ]
    return hashlib.sha256(json.dumps(payload, ensure_ascii=False).encode()).hexdigest()[:12]
