"""Named entities of PubMed sentences: BC5CDR chemicals and diseases, NCBI diseases.

IOB files of MTL-Bioinformatics-2016 (Crichton et al. 2017): one token and its tag a line, a blank line
between sentences. The tokens are joined back to readable text, and gold surfaces are cut from that text.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bioinstruct.errors import UserError
from bioinstruct.tasks.base import Example, Layout, Task
from bioinstruct.tasks.extraction import render_extraction, score_extraction
from bioinstruct.tasks.reading import read_text

NO_SPACE_BEFORE = frozenset(".,;:!?)]}%'")
NO_SPACE_AFTER = frozenset("([{")
TIGHT = frozenset("-/_")
"""Joined on both sides: the tokeniser cut every hyphen, slash and underscore out of its word."""


class Token(NamedTuple):
    """A token and its tag: O, B-<type> or I-<type>."""

    text: str
    tag: str


def read_iob(paths: Sequence[Path], *, type_name: str, question: str) -> list[Example]:
    """Sentences of an IOB file; an id is a hash of the sentence, numbered where it comes again."""
    seen: Counter[str] = Counter()
    examples = []
    for tokens in read_sentences(paths[0], type_name=type_name):
        text, surfaces = join_tokens(tokens)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        seen[digest] += 1
        examples.append(
            Example(
                id=digest if seen[digest] == 1 else f"{digest}-{seen[digest]}",
                question=question,
                source=text,
                gold=tuple((type_name, surface) for surface in surfaces),
            )
        )
    return examples


def read_sentences(path: Path, *, type_name: str) -> Iterator[list[Token]]:
    """Sentences as tokens. Raises UserError with the line for a wrong tag or number of fields."""
    allowed = ("O", f"B-{type_name}", f"I-{type_name}")
    sentence: list[Token] = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            if sentence:
                yield sentence
            sentence = []
            continue
        text, tab, tag = line.partition("\t")
        if not tab or not text.strip() or tag not in allowed:
            raise UserError(
                f"{path}:{number}: expected a token, a tab and one of {', '.join(allowed)}, found {line!r}; "
                "the file is cut or edited, get it again"
            )
        sentence.append(Token(text, tag))
    if sentence:
        yield sentence


def join_tokens(tokens: Sequence[Token]) -> tuple[str, list[str]]:
    """The sentence as readable text, and the surfaces of its entities cut from that text."""
    text = ""
    spans: list[tuple[int, int]] = []
    previous = "O"
    for position, token in enumerate(tokens):
        if text and needs_space(tokens, position):
            text += " "
        start = len(text)
        text += token.text
        if token.tag.startswith("I-") and previous != "O":
            spans[-1] = (spans[-1][0], len(text))
        elif token.tag != "O":
            spans.append((start, len(text)))
        previous = token.tag
    return text, [text[start:end] for start, end in spans]


def needs_space(tokens: Sequence[Token], position: int) -> bool:
    """Whether a space stands before the token: English punctuation, decimals and hyphens rejoined [C]."""
    left, right = tokens[position - 1].text, tokens[position].text
    if right in NO_SPACE_BEFORE or right in TIGHT or left in NO_SPACE_AFTER or left in TIGHT:
        return False
    before = tokens[position - 2].text if position > 1 else ""
    if left == "'" and right in ("s", "t"):
        return False
    if left == "." and before[-1:].isdigit() and right[0].isdigit():
        return False
    if left == "," and before.isdigit() and len(before) <= 3 and right.isdigit() and len(right) == 3:
        return False
    if '"' in (left, right):
        num_open = sum(token.text == '"' for token in tokens[: position if right == '"' else position - 1])
        return num_open % 2 == 0 if right == '"' else num_open % 2 == 1
    return True


def _ner_task(name: str, *, folder: str, type_name: str, plural: str) -> Task:
    question = (
        f"List every {plural} mentioned in the text in order of appearance, one line for each mention, "
        f"as {type_name}: text, or None if there is none."
    )
    read = partial(read_iob, type_name=type_name, question=question)
    return Task(
        name=name,
        family="ie",
        kind="generation",
        protocols=("alpaca",),
        splits={
            "test": (Layout((f"ner/{folder}/test.tsv",), read),),
            "dev": (Layout((f"ner/{folder}/devel.tsv",), read),),
            "train": (Layout((f"ner/{folder}/train.tsv",), read),),
        },
        how_to_get=(
            f"Free (CC BY 4.0): data/{folder}/{{train,devel,test}}.tsv of "
            f"https://github.com/cambridgeltl/MTL-Bioinformatics-2016 go into ner/{folder}/ below the data "
            "root"
        ),
        render=render_extraction,
        score=partial(score_extraction, types=(type_name,)),
        max_new_tokens=128,
        shots_split="train",
    )


BC5CDR_CHEMICAL = _ner_task("bc5cdr_chemical", folder="BC5CDR-chem-IOB", type_name="Chemical", plural="chemical")
BC5CDR_DISEASE = _ner_task("bc5cdr_disease", folder="BC5CDR-disease-IOB", type_name="Disease", plural="disease")
NCBI_DISEASE = _ner_task("ncbi_disease", folder="NCBI-disease-IOB", type_name="Disease", plural="disease")
