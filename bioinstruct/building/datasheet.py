"""What an instruction file holds: counts, lengths, categories, diversity, duplicates; as Markdown and HTML."""

from __future__ import annotations

import html
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bioinstruct.building.similarity import nearest_scores
from bioinstruct.building.verbs import count_verbs
from bioinstruct.categories import CATEGORIES
from bioinstruct.records import FIELDS, Record, RecordSet

SIMILAR = 0.7
"""ROUGE-L above which two instructions count as near duplicates (Alpaca's threshold)."""


class TokenCounter(Protocol):
    """What counts tokens: a tokenizer's `encode`."""

    def encode(self, text: str, *, add_special_tokens: bool = ...) -> list[int]:
        """Token ids of a text."""


@dataclass(frozen=True)
class Lengths:
    """Distribution of one length."""

    mean: float
    median: float
    p95: float
    longest: int


@dataclass(frozen=True)
class Datasheet:
    """Everything the datasheet shows."""

    title: str
    num_records: int
    num_duplicates: int
    num_repeated_instructions: int
    """Records whose instruction stands at another record too."""
    num_similar: int
    """Records whose instruction is above ROUGE-L 0.7 with another one."""
    num_without_input: int
    num_normalised_inputs: int
    categories: Counter[str]
    words: Mapping[str, Lengths]
    tokens: Mapping[str, Lengths]
    """Empty without a tokenizer."""
    word_counts: Mapping[str, Sequence[int]]
    verbs: Counter[tuple[str, str]]
    num_without_verb: int
    nearest: Sequence[float]
    """ROUGE-L of each instruction with its nearest neighbour; empty for a single record."""


def describe(records: RecordSet, *, title: str, tokenizer: TokenCounter | None = None) -> Datasheet:
    """The datasheet of a record set."""
    rows = records.records
    texts = {name: [str(getattr(record, name)) for record in rows] for name in FIELDS}
    word_counts = {name: [len(text.split()) for text in texts[name]] for name in FIELDS}
    nearest = [neighbour.score for neighbour in nearest_scores(texts["instruction"])] if len(rows) > 1 else []
    repeated = Counter(texts["instruction"])
    verbs, num_without_verb = count_verbs(texts["instruction"])
    tokens: dict[str, Lengths] = {}
    if tokenizer is not None:
        counts = {
            name: [len(tokenizer.encode(text, add_special_tokens=False)) if text else 0 for text in texts[name]]
            for name in FIELDS
        }
        tokens = {name: measure(counts[name]) for name in FIELDS}
        tokens["all three"] = measure([sum(row) for row in zip(*counts.values(), strict=True)])
    return Datasheet(
        title=title,
        num_records=len(rows),
        num_duplicates=records.num_duplicates,
        num_repeated_instructions=sum(number for number in repeated.values() if number > 1),
        num_similar=sum(score > SIMILAR for score in nearest),
        num_without_input=sum(not record.input for record in rows),
        num_normalised_inputs=records.num_normalised_inputs,
        categories=Counter(record.category or "unlabelled" for record in rows),
        words={name: measure(word_counts[name]) for name in FIELDS},
        tokens=tokens,
        word_counts=word_counts,
        verbs=verbs,
        num_without_verb=num_without_verb,
        nearest=nearest,
    )


def measure(lengths: Sequence[int]) -> Lengths:
    """Mean, median, 95th percentile (nearest rank) and maximum of at least one length."""
    ordered = sorted(lengths)
    rank = max(0, -(-95 * len(ordered) // 100) - 1)
    return Lengths(statistics.fmean(ordered), statistics.median(ordered), ordered[rank], ordered[-1])


def example_records(records: Sequence[Record]) -> list[Record]:
    """One record of each category, the one with the lowest id; without labels, the three lowest ids."""
    ordered = sorted(records, key=lambda record: record.record_id)
    labelled = {record.category: record for record in reversed(ordered) if record.category is not None}
    return [labelled[name] for name in CATEGORIES if name in labelled] or ordered[:3]


Table = tuple[Sequence[str], Sequence[Sequence[str]]]


def tables(sheet: Datasheet) -> dict[str, Table]:
    """The tables of the datasheet by heading: (columns, rows)."""
    share = sheet.num_records or 1
    found: dict[str, Table] = {
        "Records": (
            ("what", "number"),
            [
                ("records", f"{sheet.num_records:,}"),
                ("without input", f"{sheet.num_without_input:,} ({sheet.num_without_input / share:.1%})"),
                ("inputs that only said there is none", f"{sheet.num_normalised_inputs:,}"),
                ("exact duplicates, dropped", f"{sheet.num_duplicates:,}"),
                ("records that share their instruction", f"{sheet.num_repeated_instructions:,}"),
                (f"instructions above ROUGE-L {SIMILAR} with another", f"{sheet.num_similar:,}"),
            ],
        ),
        "Categories": (
            ("category", "records", "share"),
            [(name, f"{n:,}", f"{n / share:.1%}") for name, n in sheet.categories.most_common()],
        ),
        "Words": (("field", "mean", "median", "95 %", "longest"), _length_rows(sheet.words)),
    }
    if sheet.tokens:
        found["Tokens"] = (("field", "mean", "median", "95 %", "longest"), _length_rows(sheet.tokens))
    by_verb: Counter[str] = Counter()
    for (verb, _), number in sheet.verbs.items():
        by_verb[verb] += number
    found["Root verbs"] = (
        ("verb", "records", "most frequent objects"),
        [
            (verb, f"{number:,}", ", ".join(f"{noun} {n}" for noun, n in objects_of(sheet.verbs, verb)[:4]))
            for verb, number in by_verb.most_common(15)
        ],
    )
    return found


def objects_of(verbs: Counter[tuple[str, str]], verb: str) -> list[tuple[str, int]]:
    """Objects of a verb with their numbers, the most frequent first."""
    return sorted(((noun, n) for (v, noun), n in verbs.items() if v == verb), key=lambda pair: (-pair[1], pair[0]))


def _length_rows(lengths: Mapping[str, Lengths]) -> list[tuple[str, ...]]:
    return [(name, f"{x.mean:.1f}", f"{x.median:g}", f"{x.p95:g}", f"{x.longest:,}") for name, x in lengths.items()]


def notes(sheet: Datasheet) -> list[str]:
    """Sentences below the tables."""
    verbs = {verb for verb, _ in sheet.verbs}
    found = [
        f"{len(verbs)} root verbs with {len(sheet.verbs)} objects, found by rules (no parser); "
        f"{sheet.num_without_verb} instructions have no known verb."
    ]
    if sheet.nearest:
        mean = statistics.fmean(sheet.nearest)
        found.append(
            f"ROUGE-L of an instruction with its nearest neighbour: mean {mean:.3f}, highest {max(sheet.nearest):.3f}."
        )
    return found


def to_markdown(sheet: Datasheet, *, pictures: Sequence[str]) -> str:
    """The datasheet as Markdown; `pictures` are file names beside it."""
    parts = [f"# {sheet.title}\n"]
    for heading, (columns, rows) in tables(sheet).items():
        lines = [columns, ["---"] * len(columns), *rows]
        parts.append(f"## {heading}\n\n" + "".join("| " + " | ".join(line) + " |\n" for line in lines))
    parts.append("\n".join(notes(sheet)) + "\n")
    parts.extend(f"![{name.rsplit('.', 1)[0]}]({name})\n" for name in pictures)
    return "\n".join(parts)


def to_html(sheet: Datasheet, *, svgs: Mapping[str, str], examples: Sequence[Record]) -> str:
    """The datasheet as one HTML file with its pictures inside; `svgs` are SVG texts by name."""
    parts = [f"<h1>{html.escape(sheet.title)}</h1>"]
    for heading, (columns, rows) in tables(sheet).items():
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in columns)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        parts.append(f"<h2>{heading}</h2><table><tr>{head}</tr>{body}</table>")
    parts.extend(f"<p>{html.escape(note)}</p>" for note in notes(sheet))
    parts.extend(f"<figure>{svg[svg.index('<svg') :]}</figure>" for svg in svgs.values())
    parts.append("<h2>Examples</h2>")
    for record in examples:
        fields = (f"<b>{name}</b> {html.escape(str(getattr(record, name)) or '–')}" for name in FIELDS)
        parts.append(f"<p><i>{html.escape(record.category or '')}</i><br>{'<br>'.join(fields)}</p>")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(sheet.title)}</title>'
        "<style>body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "table{border-collapse:collapse}td,th{padding:.2rem .8rem;border-bottom:1px solid #ccc;text-align:left}"
        "figure{margin:2rem 0}svg{max-width:100%;height:auto}</style>" + "\n".join(parts) + "</html>\n"
    )
