"""Cloze probes: does a model complete the first paraphrase of every fact of the world with its value?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bioinstruct.encoding import encode_pair
from bioinstruct.tiny.texts import condition_sentences, fact_sentences
from bioinstruct.tiny.world import World

BATCH_SIZE = 64


class Probe(NamedTuple):
    """A sentence cut before the value that it states."""

    relation: str
    prefix: str
    value: str


def cloze_probes(world: World) -> list[Probe]:
    """One probe per fact: six per drug, two per condition."""
    probes: list[Probe] = []
    for drug in world.drugs:
        values = {
            "treats": drug.treats.name,
            "avoid_in": drug.avoid_in.name,
            "dose": drug.dose,
            "route": drug.route,
            "timing": drug.timing,
            "effect": drug.effect,
        }
        probes += _cut(fact_sentences(drug), values)
    for condition in world.conditions:
        values = {"symptom": condition.symptom, "organ": condition.organ}
        probes += _cut(condition_sentences(condition), values)
    return probes


@torch.no_grad()
def probe_scores(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, probes: Sequence[Probe]
) -> dict[str, float]:
    """Per relation, the share of probes whose value is the model's greedy continuation, token for token."""
    hits: dict[str, list[bool]] = {}
    for start in range(0, len(probes), BATCH_SIZE):
        batch = probes[start : start + BATCH_SIZE]
        for probe, hit in zip(batch, _greedy_hits(model, tokenizer, batch), strict=True):
            hits.setdefault(probe.relation, []).append(hit)
    return {relation: sum(found) / len(found) for relation, found in hits.items()}


def _cut(sentences: dict[str, tuple[str, ...]], values: dict[str, str]) -> list[Probe]:
    """A probe per relation; the value keeps the space before it."""
    return [Probe(name, sentences[name][0].removesuffix(f" {value}."), f" {value}") for name, value in values.items()]


def _greedy_hits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch: Sequence[Probe]) -> list[bool]:
    """Whether each value is predicted token for token after its prefix; rows are padded on the right."""
    pairs = [encode_pair(tokenizer, probe.prefix, probe.value) for probe in batch]
    rows = [pair.context + pair.continuation for pair in pairs]
    length = max(map(len, rows))
    # Causal attention: what pads a row on the right cannot change what stands before it.
    padded = torch.tensor([row + [0] * (length - len(row)) for row in rows])  # (B, T)
    predicted = model(input_ids=padded, use_cache=False).logits.argmax(-1).tolist()  # (B, T)
    return [
        guess[len(pair.context) - 1 : len(row) - 1] == pair.continuation
        for guess, pair, row in zip(predicted, pairs, rows, strict=True)
    ]
