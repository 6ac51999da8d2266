"""Multiple-choice tasks: prompts, and the score of option likelihoods or of generated answers.

Protocols
- `lm_eval`: the prompts of lm-evaluation-harness 0.4.13 (tasks medqa_4options, medmcqa, pubmedqa, mmlu),
scored with
  the letter or label after a space.
- `lm_eval_text`: "Question: …\\nAnswer:" scored with the option texts, as that harness scores ARC [C].
- `alpaca`: the same question in the instruction template of the model; the instruction sentences are ours
[C].
- `alpaca_generate`: the same prompt, but the model writes its answer, which is parsed to ok, ambiguous or
none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bioinstruct.metrics import choice as metrics
from bioinstruct.prompts import Template, render_prompt
from bioinstruct.tasks.answers import parse_choice
from bioinstruct.tasks.base import Answer, Example, Item, ItemStat, ParseState, TaskScore

LETTERS = ("A", "B", "C", "D", "E")

WRITTEN_PROTOCOLS = ("alpaca_generate", "mirage")
"""Protocols whose answer is generated and parsed."""

LETTER_INSTRUCTION = "Answer the following multiple-choice question with the letter of the correct option."
"""[C]"""

ExampleText = Callable[[Example], str]


MIRAGE_INSTRUCTION = (
    "You are a helpful medical expert, and your task is to answer a multi-choice medical question. "
    "Please first think step-by-step and then choose the answer from the provided options. "
    "Organize your output in a json formatted as "
    'Dict{"step_by_step_thinking": Str(explanation), "answer_choice": Str{A/B/C/...}}. '
    "Your responses will be used for research purposes only, so please have a definite answer."
)


def plain_question(example: Example) -> str:
    """The question without its options, as lm-evaluation-harness asks ARC."""
    return f"Question: {example.question}\nAnswer:"


@dataclass(frozen=True)
class ChoicePrompts:
    """How the examples of one task are asked under each protocol."""

    instruction: ExampleText
    """The instruction of protocol `alpaca`."""
    input_text: ExampleText
    """The input of protocol `alpaca`; may be empty."""
    scored: Callable[[Example], Sequence[str]] = lambda example: LETTERS[: len(example.options)]
    """What is compared, without the space before it: letters, class labels or option texts."""
    harness: ExampleText = plain_question
    """The context of protocol `lm_eval`."""


def lettered(options: Sequence[str]) -> str:
    """Options one per line: "A. …"."""
    return "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, options, strict=False))


def lettered_prompts(harness: ExampleText = plain_question) -> ChoicePrompts:
    """Prompts of a question with lettered options."""
    return ChoicePrompts(
        harness=harness,
        instruction=lambda _: LETTER_INSTRUCTION,
        input_text=lambda example: f"{example.question}\n{lettered(example.options)}",
    )


def mirage_input(example: Example) -> str:
    """MedRAG's general_cot template."""
    return (
        f"Here is the question:\n{example.question}\n\nHere are the potential "
        f"choices:\n{lettered(example.options)}"
        "\n\nPlease think step-by-step and generate your output in json:"
    )


def answer_prefix(prompt: str) -> str:
    """What stands between a prompt and its answer: nothing after white space, else one space."""
    return "" if prompt[-1:].isspace() else " "


def render_choice(
    examples: Sequence[Example], protocol: str, template: Template, *, prompts: ChoicePrompts
) -> list[Item]:
    """Items of a multiple-choice task; without continuations where the answer is to be written."""
    items = []
    for example in examples:
        scored = prompts.scored(example)
        if protocol == "lm_eval":
            context = prompts.harness(example)
        elif protocol == "lm_eval_text":
            context, scored = plain_question(example), example.options
        elif protocol == "mirage":
            context = render_prompt(template, instruction=MIRAGE_INSTRUCTION, input_text=mirage_input(example))
        else:
            instruction, input_text = prompts.instruction(example), prompts.input_text(example)
            context = render_prompt(template, instruction=instruction, input_text=input_text)
        prefix = answer_prefix(context)
        item = Item(
            id=example.id,
            context=context,
            continuations=tuple(prefix + text for text in scored),
            options=example.options,
            target=example.target,
            reference=prefix + scored[example.target],
            source=example.source,
        )
        items.append(replace(item, continuations=()) if protocol in WRITTEN_PROTOCOLS else item)
    return items


def score_choice(items: Sequence[Item], answers: Sequence[Answer], *, labels: Sequence[str] = ()) -> TaskScore:
    """Accuracy of a multiple-choice task; with class `labels` (yes, no, …) macro-F1 beside it.

    The headline is `acc` for option likelihoods and `acc_generated` for written answers.
    """
    targets = [item.target for item in items]
    generated = bool(items) and not items[0].continuations
    states: list[ParseState]
    if generated:
        texts = [answer.generation.text if answer.generation else "" for answer in answers]
        parsed = [parse_choice(text, options=i.options, labels=labels) for i, text in zip(items, texts, strict=True)]
        choices, states = [choice for choice, _ in parsed], [state for _, state in parsed]
        estimates = {"acc_generated": metrics.accuracy(choices, targets, flavour="generated+parsed,none=wrong")}
    else:
        likelihoods = [[entry.logprob for entry in answer.loglikelihoods] for answer in answers]
        texts_scored = [[text.removeprefix(" ") for text in item.continuations] for item in items]
        by_rule = metrics.argmax_choices(likelihoods, texts_scored)
        choices, states = by_rule["acc"], ["ok"] * len(items)
        estimates = {name: metrics.accuracy(by_rule[name], targets, flavour=name) for name in by_rule}
    if labels:
        estimates["macro_f1"] = metrics.macro_f1(choices, targets, num_classes=len(labels))
    return TaskScore(
        headline="acc_generated" if generated else "acc",
        reduction="mean",
        metrics=estimates,
        baselines=choice_baselines(items, labels=labels),
        items=tuple(
            ItemStat(item.id, float(choice == item.target), parse=state)
            for item, choice, state in zip(items, choices, states, strict=True)
        ),
    )


def choice_baselines(items: Sequence[Item], *, labels: Sequence[str]) -> dict[str, float]:
    """Accuracy without a model: the most frequent answer, a uniform guess, and the longest option text."""
    num_items = max(len(items), 1)
    targets = [item.target for item in items]
    baselines = {
        "majority": max((targets.count(target) for target in set(targets)), default=0) / num_items,
        "uniform": math.fsum(1 / len(item.options) for item in items) / num_items,
    }
    if not labels:
        longest = [max(range(len(i.options)), key=lambda k, i=i: len(i.options[k])) for i in items]  # type: ignore[misc]
        baselines["longest_option"] = sum(a == b for a, b in zip(longest, targets, strict=True)) / num_items
    return baselines
