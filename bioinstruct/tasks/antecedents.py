"""Coreference as a question: what a pronoun of a snippet refers to. The sentences are ours [C]."""

from __future__ import annotations

from collections.abc import Sequence

from bioinstruct.metrics.coreference import token_estimates, token_score
from bioinstruct.prompts import Template, render_prompt
from bioinstruct.tasks.answers import parse_phrase
from bioinstruct.tasks.base import Answer, Example, Item, ItemStat, TaskScore
from bioinstruct.tasks.choice import answer_prefix


def antecedent_question(pronoun: str, where: str = "") -> str:
    """The question for a pronoun; `where` quotes the words around it where it stands more than once."""
    place = f' in "{where}"' if where else " in the text"
    return f'What does "{pronoun}"{place} refer to? Answer with the phrase of the text alone.'


def render_antecedents(examples: Sequence[Example], _protocol: str, template: Template) -> list[Item]:
    """Items whose instruction is the example's question and whose input is its snippet."""
    items = []
    for example in examples:
        context = render_prompt(template, instruction=example.question, input_text=example.source)
        reference = answer_prefix(context) + example.reference
        items.append(Item(example.id, context, reference=reference, gold=example.gold, source=example.source))
    return items


def score_antecedents(items: Sequence[Item], answers: Sequence[Answer]) -> TaskScore:
    """Token F1 (headline), precision, recall and exact match, averaged over snippets."""
    scores, stats = [], []
    for item, answer in zip(items, answers, strict=True):
        phrase, state = parse_phrase(answer.generation.text if answer.generation else "")
        score = token_score(phrase, [text for _, text in item.gold])
        scores.append(score)
        stats.append(ItemStat(item.id, score.f1, parse=state))
    copied = [token_score(item.source, [text for _, text in item.gold]).f1 for item in items]
    return TaskScore(
        headline="token_f1",
        reduction="mean",
        metrics=token_estimates(scores),
        baselines={"source_copied": sum(copied) / max(len(copied), 1)},
        items=tuple(stats),
    )
