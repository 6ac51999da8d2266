"""Concept-F1: how many medical concepts of a reference a text mentions, and how many it adds.

A finder maps a text to the set of its concept ids: QuickUMLS where it is licensed, else a dictionary from a
file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from bioinstruct.errors import PrerequisiteError, UserError
from bioinstruct.runs import file_sha256

ConceptFinder = Callable[[str], frozenset[str]]


def concept_f1(predicted: frozenset[str], gold: frozenset[str]) -> float:
    """F1 of two sets of concepts; 1 where both are empty."""
    if not predicted and not gold:
        return 1.0
    return 2 * len(predicted & gold) / (len(predicted) + len(gold))


def dictionary_finder(path: Path) -> tuple[ConceptFinder, str]:
    """A finder of the terms in a file, and its signature.

    One concept a line, its terms separated by tabs; terms match as whole words, casefolded, the longest
    first. Raises PrerequisiteError for a missing file, UserError for an empty one or a term of two concepts.
    """
    if not path.is_file():
        raise PrerequisiteError(
            f"term file not found: {path}; write one concept a line, its terms separated by tabs"
        )
    concept_of: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        terms = [" ".join(term.casefold().split()) for term in line.split("\t") if term.strip()]
        for term in terms:
            if concept_of.setdefault(term, terms[0]) != terms[0]:
                raise UserError(f"{path}:{number}: term {term!r} belongs to {concept_of[term]!r} already")
    if not concept_of:
        raise UserError(f"{path} holds no terms; write one concept a line, its terms separated by tabs")
    longest_first = sorted(concept_of, key=lambda term: (-len(term), term))
    pattern = re.compile(r"(?<!\w)(" + "|".join(map(re.escape, longest_first)) + r")(?!\w)")

    def find(text: str) -> frozenset[str]:
        folded = " ".join(text.casefold().split())
        return frozenset(concept_of[found] for found in pattern.findall(folded))

    return find, f"concept_f1|dictionary:{path.name}|terms:{len(concept_of)}|sha256:{file_sha256(path)[:12]}"


def quickumls_finder(index: Path) -> tuple[ConceptFinder, str]:
    """A finder of UMLS concept ids through QuickUMLS (its defaults), and its signature."""
    try:
        from quickumls import QuickUMLS
    except ImportError as error:
        raise PrerequisiteError("metric concepts needs a package: pip install quickumls") from error
    if not index.is_dir():
        raise PrerequisiteError(
            f"QuickUMLS index not found: {index}; build it with python -m quickumls.install"
        )
    matcher = QuickUMLS(str(index))

    def find(text: str) -> frozenset[str]:
        return frozenset(str(match["cui"]) for group in matcher.match(text) for match in group)

    return find, f"concept_f1|quickumls|index:{index.name}"
