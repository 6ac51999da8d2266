"""CRAFT coreference as an open companion of clinical coreference: what a pronoun in an article refers to.

Identity chains of the Knowtator files (Cohen et al. 2017). A question is made for every personal pronoun of a
chain that has another mention before it in the same paragraph; every such mention is an accepted antecedent
[C].
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bioinstruct.errors import UserError
from bioinstruct.tasks.antecedents import antecedent_question, render_antecedents, score_antecedents
from bioinstruct.tasks.base import Example, Layout, Task
from bioinstruct.tasks.reading import read_text

PRONOUNS = frozenset({"it", "its", "itself", "they", "them", "their", "themselves"})

PRONOMINAL = PRONOUNS | {
    "this",
    "that",
    "these",
    "those",
    "which",
    "who",
    "whom",
    "whose",
    "one",
    "ones",
    "each",
    "both",
}
"""Mentions that name nothing themselves: never an antecedent."""

NUM_WORDS_AROUND = 3
"""Words quoted on both sides of the pronoun, which may stand several times in a paragraph."""


class Mention(NamedTuple):
    """A continuous stretch of an article."""

    start: int
    end: int


def read_craft(paths: Sequence[Path]) -> list[Example]:
    """Questions of all articles: texts <id>.txt and chains <id>.xml, paired by name."""
    texts = {path.stem: path for path in paths if path.suffix == ".txt"}
    examples: list[Example] = []
    for path in (path for path in paths if path.suffix == ".xml"):
        stem = path.stem.partition(".")[0]
        if stem not in texts:
            raise UserError(f"{path} has no article {stem}.txt; put it beside the others")
        text = read_text(texts[stem])
        examples.extend(_article_examples(stem, text, read_chains(path, text)))
    return examples


def read_chains(path: Path, text: str) -> list[list[Mention]]:
    """Identity chains of an article as mentions in order; mentions of several pieces are left out.

    Raises UserError for broken XML and for a mention whose text does not stand where it says.
    """
    try:
        root = ElementTree.fromstring(read_text(path))
    except ElementTree.ParseError as error:
        line = error.position[0]
        raise UserError(f"{path}:{line}: broken XML ({error}); the file is cut or edited, get it again") from error
    mentions = {}
    for annotation in root.iter("annotation"):
        spans = annotation.findall("span")
        if len(spans) == 1:
            mentions[annotation.get("id")] = _mention(
                spans[0], text, place=f"{path}: annotation {annotation.get('id')}"
            )
    nodes = {vertex.get("id"): vertex.get("annotation") for vertex in root.iter("vertex")}
    chains: dict[str | None, list[Mention]] = {}
    for triple in root.iter("triple"):
        if triple.get("property") == "Coreferring strings" and nodes.get(triple.get("object")) in mentions:
            chains.setdefault(triple.get("subject"), []).append(mentions[nodes.get(triple.get("object"))])
    return [sorted(set(chain)) for chain in chains.values()]


def _mention(span: ElementTree.Element, text: str, *, place: str) -> Mention:
    try:
        start, end = int(span.get("start", "")), int(span.get("end", ""))
    except ValueError as error:
        raise UserError(f"{place}: span without start and end") from error
    if text[start:end] != (span.text or ""):
        raise UserError(f"{place}: {span.text!r} does not stand at {start} of the article")
    return Mention(start, end)


def _article_examples(article: str, text: str, chains: Sequence[Sequence[Mention]]) -> Iterator[Example]:
    for chain in chains:
        for pronoun in (mention for mention in chain if text[mention.start : mention.end].lower() in PRONOUNS):
            start, end = paragraph(text, pronoun)
            before = [m for m in chain if start <= m.start and m.end <= pronoun.start]
            phrases = [text[m.start : m.end] for m in before]
            antecedents = [phrase for phrase in phrases if phrase.lower() not in PRONOMINAL]
            if not antecedents:
                continue
            word = text[pronoun.start : pronoun.end]
            yield Example(
                id=f"{article}-{pronoun.start}",
                question=antecedent_question(word, words_around(text[start:end], pronoun.start - start, word)),
                source=text[start:end],
                reference=antecedents[-1],
                gold=tuple(("antecedent", phrase) for phrase in dict.fromkeys(reversed(antecedents))),
            )


def paragraph(text: str, mention: Mention) -> Mention:
    """The paragraph (between line ends) around a mention."""
    start = text.rfind("\n", 0, mention.start) + 1
    end = text.find("\n", mention.end)
    return Mention(start, len(text) if end < 0 else end)


def words_around(text: str, position: int, word: str) -> str:
    """The word at a position with a few words on both sides."""
    before = re.findall(r"\S+\s+", text[:position])[-NUM_WORDS_AROUND:]
    tail = text[position + len(word) :]
    after = re.match(rf"\S*(?:\s+\S+){{0,{NUM_WORDS_AROUND}}}", tail)
    return "".join(before) + word + (after.group(0) if after else "")


CRAFT_COREFERENCE = Task(
    name="craft_coreference",
    family="ie",
    kind="generation",
    protocols=("alpaca",),
    splits={
        "all": (
            Layout(("craft/articles/*.txt", "craft/coreference/*.xml"), read_craft),
            Layout(("craft/articles/txt/*.txt", "craft/coreference-annotation/knowtator/*.xml"), read_craft),
        )
    },
    how_to_get=(
        "Free (CC BY 3.0): articles/txt/*.txt and the Knowtator coreference XML of "
        "https://github.com/UCDenver-ccp/CRAFT go into craft/articles/ and craft/coreference/ below the "
        "data root"
    ),
    render=render_antecedents,
    score=score_antecedents,
    max_new_tokens=48,
)
