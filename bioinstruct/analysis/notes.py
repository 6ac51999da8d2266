"""What a reader must know beside the numbers: state of the grid, units, interval methods, limits."""

from __future__ import annotations

from collections import Counter

from bioinstruct.analysis.comparison import Comparison
from bioinstruct.analysis.outcomes import HEADLINE_PROTOCOL

UNITS = (
    "Scores are in points from 0 to 100, higher is better; gains are differences in points. Brackets hold "
    "95 % intervals. n counts test items."
)
PROTOCOLS = (
    "Families are means over tasks of each task's headline metric in the protocol "
    f"“{HEADLINE_PROTOCOL}”, the instruction template the models were tuned with; a task without it counts "
    "in its first protocol. Other protocols stand in tables of their own."
)
GAINS = (
    "Gains are paired: every cell answered the same items. Relative gain = gain / untuned base, with an "
    "interval of the log ratio; – where the base scored 0."
)
INTERVALS = (
    "Micro-F1 enters intervals through its linearisation (delta method), all other metrics as means over "
    "items. Score intervals: the scorer's own for a single run (method in the signature of the metric, in "
    "the CSV), else Wilson's formula with the effective number of items."
)
CROSSED = "Items are crossed with cells: a contrast is formed per item, then its variance is taken."
TESTS = (
    "p values are two-sided and Holm-corrected, separately over all family gains, all task gains of a "
    "protocol, and all effects. Task gains with one seed: exact McNemar for right-or-wrong items, paired "
    "bootstrap otherwise. All else: the t test of the contrast."
)
NATURAL = (
    "Natural design: a subset with more categories also has more records and more optimizer steps, so its "
    "gain mixes kind and amount; the designs equal and fixed_total separate them."
)
UNPAIRED = (
    "Some runs came without values per item: their differences count cells as independent, so their "
    "intervals are wider than need be."
)
ONE_SEED = (
    "Item intervals only: one seed. They hold the variation of the test items; how much another seed would "
    "change a score is not known, and nothing is claimed about it."
)


def status_line(comparison: Comparison) -> str:
    """`24 cells: 22 done, 1 failed, 1 waiting.`, with seeds and what that allows to say."""
    counts = Counter(cell.state for cell in comparison.cells)
    listed = ", ".join(f"{number} {state}" for state, number in counts.items())
    complete = " The grid is incomplete: open cells show their state." if comparison.open_cells else ""
    return f"{len(comparison.cells)} cells: {listed}.{complete} {seed_line(comparison)}"


def seed_line(comparison: Comparison) -> str:
    """Says which variation the intervals hold."""
    if not comparison.has_seed_variance:
        return ONE_SEED
    done = {cell.seed for cell in comparison.cells if cell.seed is not None and cell.state == "done"}
    listed = ", ".join(map(str, sorted(done)))
    return f"{len(done)} seeds ({listed}): intervals hold the variation of test items and of seeds."


def method_notes(comparison: Comparison) -> list[str]:
    """Units, direction, protocols, intervals and tests."""
    notes = [UNITS, PROTOCOLS, GAINS, INTERVALS, _seed_note(comparison), TESTS]
    if any(result.variant.design == "natural" for result in comparison.results):
        notes.append(NATURAL)
    if any(not gain.difference.is_paired for result in comparison.results for gain in result.task_gains):
        notes.append(UNPAIRED)
    return notes


def _seed_note(comparison: Comparison) -> str:
    freedom = [result.block.seeds.df for result in comparison.results if result.block.seeds is not None]
    if not freedom:
        return CROSSED
    return (
        f"{CROSSED} The variance between seeds is pooled over the tuned cells ({freedom[0]} degrees of "
        "freedom); intervals use t with Satterthwaite's degrees of freedom. The untuned base has no seed "
        "and counts as fixed."
    )
