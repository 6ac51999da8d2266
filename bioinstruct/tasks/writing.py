"""Text generation: conversation to note, question to answer, question to summary; scored with ROUGE.

Protocol `alpaca`: the instruction sentences are ours [C].
"""

from __future__ import annotations

from collections.abc import Sequence

from bioinstruct.metrics.rouge import rouge_estimates, rouge_values
from bioinstruct.prompts import Template, render_prompt
from bioinstruct.tasks.base import Answer, Example, Item, ItemStat, TaskScore
from bioinstruct.tasks.choice import answer_prefix


def render_writing(examples: Sequence[Example], _protocol: str, template: Template) -> list[Item]:
    """Items whose instruction is the example's question and whose input is its source."""
    items = []
    for example in examples:
        context = render_prompt(template, instruction=example.question, input_text=example.source)
        reference = answer_prefix(context) + example.reference
        items.append(Item(id=example.id, context=context, reference=reference, source=example.source))
    return items


def score_writing(items: Sequence[Item], answers: Sequence[Answer], *, headline: str = "rougeLsum") -> TaskScore:
    """ROUGE F-measures; an empty answer is parse state `none` and scores 0."""
    texts = [answer.generation.text.strip() if answer.generation else "" for answer in answers]
    references = [item.reference.strip() for item in items]
    values = rouge_values(texts, references)
    copied = rouge_values([item.source for item in items], references, flavours=[headline])[headline]
    return TaskScore(
        headline=headline,
        reduction="mean",
        metrics=rouge_estimates(values),
        baselines={"source_copied": sum(copied) / max(len(copied), 1)},
        items=tuple(
            ItemStat(item.id, value, parse="ok" if text else "none")
            for item, value, text in zip(items, values[headline], texts, strict=True)
        ),
    )
