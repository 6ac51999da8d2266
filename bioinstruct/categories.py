"""The four instruction categories of the BioInstruct study and the names of their subsets."""

from __future__ import annotations

from collections.abc import Iterable

from bioinstruct.errors import UserError

CATEGORIES: tuple[str, ...] = ("qa", "ie", "gen", "other")
"""Question answering, information extraction, text generation, other (Tran et al. 2024)."""

FACTORS: tuple[str, ...] = ("qa", "ie", "gen")
"""The factors of the ablation grid; `other` is held in or out."""


def canonical(include: Iterable[str]) -> tuple[str, ...]:
    """The categories of `include` in the order of CATEGORIES, each once.

    Raises UserError for a name that is not a category.
    """
    wanted = list(include)
    unknown = [name for name in wanted if name not in CATEGORIES]
    if unknown:
        raise UserError(
            f"category.include has unknown {unknown[0]!r}; known: {', '.join(CATEGORIES)}. "
            "Write for example category.include=[qa,ie]"
        )
    return tuple(name for name in CATEGORIES if name in wanted)


def subset_label(include: Iterable[str]) -> str:
    """The name of a subset: none, qa, qa_ie, …; `all` for the three factors, `all_other` for every record."""
    subset = canonical(include)
    if not subset:
        return "none"
    if subset == FACTORS:
        return "all"
    if subset == CATEGORIES:
        return "all_other"
    return "_".join(subset)
