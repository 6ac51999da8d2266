"""The typed schema of the commands generate, categorize and describe: a dataclass per configuration group."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from omegaconf import MISSING


class Boundary(Enum):
    """How a pair whose ROUGE-L is exactly the threshold is decided."""

    rouge_score = "rouge_score"
    """As rouge-score's floating point formula happens to round: some pairs at exactly 0.7 count as above."""
    exact = "exact"
    """In integers: at 0.7, a pair is too similar if 20 LCS > 7 (m + n)."""


@dataclass
class FiltersConfig:
    """Which generated items are kept."""

    name: str = MISSING
    """Label of the profile."""
    rules: list[str] = MISSING
    """Names of the rules (bioinstruct.building.filters.RULES), in the order in which reasons are written."""
    min_words: int = 4
    """Fewest words of an instruction; Alpaca drops 3 and fewer."""
    max_words: int = 150
    """Most words of an instruction; Alpaca drops more."""
    words: list[str] = field(default_factory=list)
    """Words that rule `word_list` does not allow in an instruction."""
    max_rouge_l: float = 0.7
    """ROUGE-L F1 above which an instruction is too similar to a seed or to one kept before, in (0, 1]."""
    boundary: Boundary = Boundary.rouge_score
    guard_details: bool = False
    """Whether instructions that differ in Greek letters, comparators or numbers are never too similar."""
