"""Entity extraction by generation: one entity a line as `Type: text`, or `None`.

Protocol `alpaca`: the instruction sentences are ours [C]; the datasets were published for span tagging.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bioinstruct.metrics.entities import exact_counts, micro_estimates, overlap_counts
from bioinstruct.prompts import Template, render_prompt
from bioinstruct.statistics import micro_prf
from bioinstruct.tasks.answers import format_entities, parse_entities
from bioinstruct.tasks.base import Answer, Example, Item, ItemStat, TaskScore
from bioinstruct.tasks.choice import answer_prefix


def render_extraction(examples: Sequence[Example], _protocol: str, template: Template) -> list[Item]:
    """Items whose instruction is the example's question and whose input is its source."""
    items = []
    for example in examples:
        context = render_prompt(template, instruction=example.question, input_text=example.source)
        items.append(
            Item(
                id=example.id,
                context=context,
                reference=answer_prefix(context) + format_entities(example.gold),
                gold=example.gold,
                source=example.source,
            )
        )
    return items


def score_extraction(items: Sequence[Item], answers: Sequence[Answer], *, types: Sequence[str]) -> TaskScore:
    """Entity-level micro precision, recall and F1, exact (headline) and overlapping."""
    exact, overlap, stats = [], [], []
    for item, answer in zip(items, answers, strict=True):
        text = answer.generation.text if answer.generation else ""
        predicted, state = parse_entities(text, types=types)
        counts = exact_counts(predicted, item.gold)
        exact.append(counts)
        overlap.append(overlap_counts(predicted, item.gold))
        value = 0.0 if state == "none" else _item_f1(counts)
        stats.append(ItemStat(item.id, value, *counts, parse=state))
    return TaskScore(
        headline="f1",
        reduction="micro_f1",
        metrics=micro_estimates(exact, flavour="exact")
        | micro_estimates(overlap, flavour="overlap", prefix="overlap_"),
        baselines=extraction_baselines(items),
        items=tuple(stats),
    )


def extraction_baselines(items: Sequence[Item]) -> dict[str, float]:
    """Exact micro-F1 without a model: nothing, and the split's most frequent entity everywhere."""
    frequent = Counter(entity for item in items for entity in item.gold).most_common(1)
    guess = [entity for entity, _ in frequent]
    counts = [exact_counts(guess, item.gold) for item in items]
    totals = [sum(item[position] for item in counts) for position in range(3)]
    return {"nothing": 0.0, "most_frequent_entity": micro_prf(*totals)[2]}


def _item_f1(counts: tuple[int, int, int]) -> float:
    """F1 of one item; 1 where there was nothing to find and nothing was found."""
    return 1.0 if counts[1] + counts[2] == 0 else micro_prf(*counts)[2]
