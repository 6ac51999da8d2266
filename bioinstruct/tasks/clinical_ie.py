"""Medication status and coreference of Agrawal et al. (2022), mitclinicalml/clinical-ie.

The columns are mapped in clinical_ie.yaml. Protocol `official`: the snippet, then the paper's question.
Protocol
`alpaca`: the same question as instruction, with a sentence on the answer format that is ours [C].
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import yaml

from bioinstruct.errors import UserError
from bioinstruct.metrics.entities import exact_counts, micro_estimates
from bioinstruct.metrics.status import STATUSES, name_entities, status_estimates, status_pairs
from bioinstruct.prompts import Template, render_prompt
from bioinstruct.statistics import micro_prf
from bioinstruct.tasks import reading
from bioinstruct.tasks.answers import parse_statuses
from bioinstruct.tasks.antecedents import antecedent_question, render_antecedents, score_antecedents
from bioinstruct.tasks.base import Answer, Example, Item, ItemStat, Layout, Task, TaskScore
from bioinstruct.tasks.choice import answer_prefix

STATUS_QUESTION = (
    "Create a bulleted list of which medications are mentioned and whether they are active, discontinued, or neither."
)
"""Agrawal et al. 2022."""

STATUS_FORMAT = " Write each as - medication (status), or None if there is none."
"""[C]"""

HOW_TO_GET = (
    "Gated: accept the conditions at https://huggingface.co/datasets/mitclinicalml/clinical-ie, log in with "
    "`hf auth "
    "login`, run `hf download --repo-type dataset mitclinicalml/clinical-ie --local-dir <data "
    "root>/clinical_ie`; where "
    "its file or column names differ from clinical_ie/{name}_{{test,dev}}.csv and "
    "bioinstruct/tasks/clinical_ie.yaml, "
    "rename the files and write clinical_ie/columns.yaml"
)


def read_columns(name: str, folder: Path) -> dict[str, str]:
    """Field → column of a task; columns.yaml in the data folder replaces what it names.

    Raises UserError for a columns.yaml that names no known field.
    """
    published = resources.files("bioinstruct.tasks").joinpath("clinical_ie.yaml").read_text(encoding="utf-8")
    columns: dict[str, str] = yaml.safe_load(published)[name]
    own = folder / "columns.yaml"
    if own.is_file():
        changes = (yaml.safe_load(reading.read_text(own)) or {}).get(name, {})
        unknown = [key for key in changes if key not in columns]
        if unknown:
            raise UserError(f"{own}: {name} has unknown {unknown[0]!r}; known: {', '.join(columns)}")
        columns = columns | {key: str(value) for key, value in changes.items()}
    return columns


def read_medication_status(paths: Sequence[Path]) -> list[Example]:
    """Snippets with their active, discontinued and other medications."""
    columns = read_columns("medication_status", paths[0].parent)
    examples = []
    for place, row in reading.csv_rows(paths[0], columns=columns.values()):
        snippet = reading.text_field(row, columns["snippet"], place=place)
        gold = tuple(
            (status, name)
            for status in STATUSES
            for name in split_list(row[columns[status]], place=f"{place}: {columns[status]}")
        )
        if not gold:
            raise UserError(f"{place}: no medication in {', '.join(columns[status] for status in STATUSES)}")
        examples.append(Example(_snippet_id(snippet), STATUS_QUESTION, source=snippet, gold=gold))
    return examples


def read_coreference(paths: Sequence[Path]) -> list[Example]:
    """Snippets with a pronoun and its antecedent or antecedents."""
    columns = read_columns("coreference", paths[0].parent)
    examples = []
    for place, row in reading.csv_rows(paths[0], columns=columns.values()):
        snippet = reading.text_field(row, columns["snippet"], place=place)
        pronoun = reading.text_field(row, columns["pronoun"], place=place)
        antecedents = split_list(row[columns["antecedent"]], place=f"{place}: {columns['antecedent']}")
        if not antecedents:
            raise UserError(f"{place}: {columns['antecedent']} is empty; restore the record")
        examples.append(
            Example(
                id=_snippet_id(f"{snippet}\x1f{pronoun}"),
                question=antecedent_question(pronoun),
                source=snippet,
                reference=antecedents[0],
                gold=tuple(("antecedent", text) for text in antecedents),
            )
        )
    return examples


def split_list(text: str, *, place: str) -> list[str]:
    """Texts of a cell: a JSON or Python list, or one a line or after a semicolon; none for an empty cell."""
    stripped = text.strip()
    if stripped.lower() in ("", "nan", "none"):
        return []
    if not stripped.startswith("["):
        return [part.strip() for part in re.split(r"[\n;]", stripped) if part.strip()]
    try:
        values = ast.literal_eval(stripped)
    except (ValueError, SyntaxError) as error:
        raise UserError(f"{place}: {stripped[:60]!r} is no list; get the file again") from error
    if not isinstance(values, list) or not all(isinstance(value, str) and value.strip() for value in values):
        raise UserError(f"{place}: {stripped[:60]!r} must be a list of texts, none of them empty")
    return [value.strip() for value in values]


def render_medication_status(examples: Sequence[Example], protocol: str, template: Template) -> list[Item]:
    """Items that ask for the list of medications."""
    items = []
    for example in examples:
        if protocol == "official":
            context = f"{example.source}\n\n{example.question}\n"
        else:
            instruction = example.question + STATUS_FORMAT
            context = render_prompt(template, instruction=instruction, input_text=example.source)
        lines = "\n".join(f"- {name} ({status})" for status, name in example.gold)
        items.append(
            Item(
                example.id,
                context,
                reference=answer_prefix(context) + lines,
                gold=example.gold,
                source=example.source,
            )
        )
    return items


def score_medication_status(items: Sequence[Item], answers: Sequence[Answer]) -> TaskScore:
    """Extraction on names (headline: micro-F1) and status, over all gold medications and over those found."""
    counts, pairs, stats = [], [], []
    for item, answer in zip(items, answers, strict=True):
        text = answer.generation.text if answer.generation else ""
        predicted, state = parse_statuses(text)
        count = exact_counts(name_entities(predicted), name_entities(item.gold))
        counts.append(count)
        pairs.append(status_pairs(predicted, item.gold))
        stats.append(ItemStat(item.id, micro_prf(*count)[2], *count, parse=state))
    return TaskScore(
        headline="f1",
        reduction="micro_f1",
        metrics=micro_estimates(counts, flavour="exact name")
        | status_estimates(pairs, conditional=False)
        | status_estimates(pairs, conditional=True),
        baselines={"nothing": 0.0},
        items=tuple(stats),
    )


def _snippet_id(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


MEDICATION_STATUS = Task(
    name="medication_status",
    family="ie",
    kind="generation",
    protocols=("alpaca", "official"),
    splits={
        name: (Layout((f"clinical_ie/medication_status_{name}.csv",), read_medication_status),)
        for name in ("test", "dev")
    },
    how_to_get=HOW_TO_GET.format(name="medication_status"),
    render=render_medication_status,
    score=score_medication_status,
    max_new_tokens=256,
    shots_split="dev",
)

COREFERENCE = Task(
    name="coreference",
    family="ie",
    kind="generation",
    protocols=("alpaca",),
    splits={name: (Layout((f"clinical_ie/coreference_{name}.csv",), read_coreference),) for name in ("test", "dev")},
    how_to_get=HOW_TO_GET.format(name="coreference"),
    render=render_antecedents,
    score=score_antecedents,
    max_new_tokens=48,
    shots_split="dev",
)
