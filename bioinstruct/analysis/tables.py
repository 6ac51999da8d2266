"""The tables of a report as plain text cells; layout in Markdown, LaTeX and HTML is `rendering`'s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bioinstruct.analysis.cells import Cell
from bioinstruct.analysis.comparison import Comparison, VariantResult
from bioinstruct.analysis.effects import detectable, typical_detectable
from bioinstruct.analysis.estimates import Block, cell_weights, contrast, score_interval
from bioinstruct.analysis.gains import Gain
from bioinstruct.analysis.numbers import DASH, gain_text, interval_text, p_text, points, relative_text, share
from bioinstruct.analysis.outcomes import TaskKey


@dataclass(frozen=True)
class Table:
    """A titled grid of texts; the first column names the row. A cell's second line follows a newline."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def family_name(family: str) -> str:
    return family.upper()


def with_variant(title: str, result: VariantResult) -> str:
    return f"{title} ({result.variant.label})" if result.variant.label else title


def summary_table(comparison: Comparison, *, stacked: bool = True) -> Table:
    """Categories × families: mean over tasks with interval, below it the gain over the untuned base.

    `stacked=False`, for terminals, puts both gains on one line and leaves the relative one's interval out.
    """
    families = {family: keys for result in comparison.results for family, keys in result.block.families().items()}
    header = ("tuned on", *(f"{family_name(f)}\n{_tasks(keys)}" for f, keys in families.items()))
    rows = []
    for result in comparison.results:
        for category in result.variant.categories:
            scores = (_summary_cell(result, category, family=f, stacked=stacked) for f in families)
            rows.append((row_name(result, category), *scores))
    notes = (
        "First line: mean over the family's tasks, in points (0–100, higher is better), 95 % interval in "
        "brackets. Below it: gain over the untuned base, in points and relative to the base.",
    )
    return Table("Which subset helps which family", header, tuple(rows), notes)


def row_name(result: VariantResult, category: str) -> str:
    """The category, below it what sets its variant apart."""
    return f"{category}\n{result.variant.label}" if result.variant.label else category


def _summary_cell(result: VariantResult, category: str, *, family: str, stacked: bool) -> str:
    gain = result.family_gain(category, family)
    score = _family_score(result, category, keys=result.block.families()[family])
    if gain is None:
        return score
    gained, ratio = gain_text(gain.difference), relative_text(gain.relative)
    return "\n".join([score, gained, ratio] if stacked else [score, f"{gained} ({ratio.split(' [')[0]})"])


def _tasks(keys: Sequence[TaskKey]) -> str:
    num_items = sum(key.n for key in keys)
    plural = "s" if len(keys) > 1 else ""
    return f"{len(keys)} task{plural}, n = {num_items:,}"


def _family_score(result: VariantResult, category: str, *, keys: Sequence[TaskKey]) -> str:
    if result.block.has(category, keys):
        mean = contrast(result.block, cell_weights(category, keys))
        return interval_text(mean.value, *score_interval(mean))
    return missing_text(result.variant.cells[category])


def missing_text(cells: Sequence[Cell]) -> str:
    """Why a category has no score here: the states of its cells, or not scored."""
    states = dict.fromkeys(cell.state for cell in cells if cell.state != "done")
    return ", ".join(states) or "not scored"


def family_table(result: VariantResult, family: str) -> Table:
    """One family in full: seeds, mean, spread over seeds, gains with Holm-corrected p, parse failures."""
    keys = result.block.families()[family]
    header = (
        "tuned on",
        "seeds",
        "mean [95 %]",
        "SD over seeds",
        "gain [95 %]",
        "relative gain [95 %]",
        "p (Holm)",
        "parse failures",
    )
    rows: list[tuple[str, ...]] = []
    for category, cells in result.variant.cells.items():
        done = [cell for cell in cells if cell.state == "done"]
        seeds = f"{len(done)} of {len(cells)}" if cells[0].is_tuned else "untuned"
        gain = result.family_gain(category, family)
        rows.append(
            (
                category,
                seeds,
                _family_score(result, category, keys=keys),
                _seed_spread(result.block, category, keys=keys),
                gain_text(gain.difference) if gain else DASH,
                relative_text(gain.relative) if gain else DASH,
                p_text(gain.p_holm) if gain else DASH,
                _parse_failures(done, keys),
            )
        )
    rows += _baseline_rows(keys, num_columns=len(header))
    listed = ", ".join(f"{key.task} ({key.metric}, {key.protocol}, n = {key.n:,})" for key in keys)
    return Table(
        with_variant(f"{family_name(family)}: mean over tasks", result),
        header,
        tuple(rows),
        (f"Tasks: {listed}.",),
    )


def _baseline_rows(keys: Sequence[TaskKey], *, num_columns: int) -> list[tuple[str, ...]]:
    """Means over tasks of the model-free baselines that all tasks of a family have."""
    known = [dict(key.baselines) for key in keys]
    shared = [name for name in known[0] if all(name in one for one in known)]
    means = [(name, float(np.mean([one[name] for one in known]))) for name in shared]
    return [(f"baseline: {name}", DASH, points(mean), *[DASH] * (num_columns - 3)) for name, mean in means]


def _seed_spread(block: Block, category: str, *, keys: Sequence[TaskKey]) -> str:
    if not block.has(category, keys):
        return DASH
    outcomes = [block.outcomes[category, key.task] for key in keys]
    counts = {len(one.means) for one in outcomes}
    if not outcomes[0].is_tuned or len(counts) > 1 or min(counts) < 2:
        return DASH
    return points(float(np.mean([one.means for one in outcomes], axis=0).std(ddof=1)))


def _parse_failures(done: Sequence[Cell], keys: Sequence[TaskKey]) -> str:
    wanted = {(key.task, key.protocol) for key in keys}
    rates = [s.parse_failure_rate for cell in done for s in cell.scores if (s.task, s.protocol) in wanted]
    return share(float(np.mean(rates))) if rates else DASH


def task_table(result: VariantResult, family: str) -> Table:
    """One family task by task in the headline protocol, with the model-free baselines below."""
    block, gains = result.block, result.task_gains
    return _task_table(result, block.families()[family], block=block, gains=gains, title=f"{family_name(family)} tasks")


def other_protocol_table(result: VariantResult, index: int) -> Table:
    """All tasks of a protocol that is not the headline one."""
    block = result.other_blocks[index]
    title = f"Other protocol: {block.keys[0].protocol}"
    return _task_table(result, block.keys, block=block, gains=result.other_gains[index], title=title)


def _task_table(
    result: VariantResult, keys: Sequence[TaskKey], *, block: Block, gains: Sequence[Gain], title: str
) -> Table:
    header = ("tuned on", *(f"{key.task}\n{key.metric}, {key.protocol}, n = {key.n:,}" for key in keys))
    found = {(gain.category, gain.task): gain for gain in gains}
    rows = []
    for category, cells in result.variant.cells.items():
        row = [_task_cell(block, cells, key=key, gain=found.get((category, key.task))) for key in keys]
        rows.append((category, *row))
    names = dict.fromkeys(name for key in keys for name, _ in key.baselines)
    for name in names:
        values = [dict(key.baselines).get(name) for key in keys]
        rows.append((f"baseline: {name}", *(DASH if value is None else points(value) for value in values)))
    tests = ", ".join(dict.fromkeys(gain.test for gain in gains if gain.task in {key.task for key in keys}))
    notes = (
        "Score [95 %], gain over the base [95 %] with Holm-corrected p, share of answers that could not be "
        f"parsed. Test: {tests or 'none'}. Baselines use no model; they have no interval of their own.",
    )
    return Table(with_variant(title, result), header, tuple(rows), notes)


def _task_cell(block: Block, cells: Sequence[Cell], *, key: TaskKey, gain: Gain | None) -> str:
    if not block.has(cells[0].category, [key]):
        return missing_text(cells)
    lines = [task_score_text(block, cells, key=key)]
    if gain is not None:
        lines.append(f"{gain_text(gain.difference)}, p {p_text(gain.p_holm)}")
    failures = _parse_failures([cell for cell in cells if cell.state == "done"], [key])
    return "\n".join([*lines, f"unparsed {failures}"])


def task_score_text(block: Block, cells: Sequence[Cell], *, key: TaskKey) -> str:
    """Score with interval: the scorer's own interval for a single run, the pooled one for several seeds."""
    category = cells[0].category
    if len(block.outcomes[category, key.task].means) == 1 and (block.seeds is None or category == "none"):
        own = [s.estimate for c in cells for s in c.scores if (s.task, s.protocol) == (key.task, key.protocol)]
        return interval_text(own[0].value, own[0].low, own[0].high)
    mean = contrast(block, cell_weights(category, [key]))
    return interval_text(mean.value, *score_interval(mean))


def effect_table(result: VariantResult) -> Table:
    """Main effects and synergies (or contrasts between mixes) with interval, p and what could be resolved.

    Effects that cannot be estimated share one row per reason.
    """
    header = ("effect", "tested on", "points [95 %]", "p (Holm)", "smallest detectable", "kind")
    rows: list[tuple[str, ...]] = [
        (
            effect.name,
            family_name(effect.family),
            gain_text(effect.estimate),
            p_text(effect.p_holm),
            points(detectable(effect.estimate)),
            effect.kind,
        )
        for effect in result.effects
        if effect.estimate is not None
    ]
    for missing in dict.fromkeys(effect.missing for effect in result.effects if effect.estimate is None):
        lost = [effect for effect in result.effects if effect.missing == missing]
        names = ", ".join(dict.fromkeys(effect.name for effect in lost))
        families = ", ".join(dict.fromkeys(family_name(effect.family) for effect in lost))
        rows.append((names, families, missing, DASH, DASH, ", ".join(dict.fromkeys(effect.kind for effect in lost))))
    return Table(with_variant("Effects of the categories", result), header, tuple(rows), (effect_note(result),))


def effect_note(result: VariantResult) -> str:
    """What an effect means under the design."""
    if result.variant.design == "fixed_total":
        return (
            "Fixed-total design: every mix has the same number of records, so more of one category is less "
            "of another. Differences between mixes only; main effects do not exist here."
        )
    return (
        "Main effect of A: mean over the subsets of the other categories of (with A) − (without A). Synergy A × B: "
        "what the pair brings beyond the sum of A alone and B alone. Added last: what a category adds to all others. "
        "Own − other families: whether a category helps its own family more than the others. In points, higher is "
        "better. Smallest detectable: found with 80 % power by a two-sided 5 % test, before Holm's correction."
    )


def resolution_table(result: VariantResult) -> Table:
    """Which differences this grid can resolve, and which gains it left open."""
    families = result.block.families()
    differences = {f: [g.difference for g in result.family_gains if g.family == f] for f in families}
    typical = typical_detectable(differences)
    rows = []
    for family in families:
        unresolved = [g.category for g in result.family_gains if g.family == family and g.p_holm >= 0.05]
        rows.append(
            (
                family_name(family),
                points(typical[family]) if family in typical else DASH,
                ", ".join(unresolved) or ("none" if differences[family] else DASH),
            )
        )
    header = ("family", "smallest detectable gain, points", "gains not resolved (Holm p ≥ 0.05)")
    note = (
        "Smallest true gain over the base that a two-sided 5 % test of this precision finds with 80 % power, "
        "before Holm's correction; median over subsets. A gain that is not resolved is not a gain of zero."
    )
    return Table(with_variant("What this grid cannot resolve", result), header, tuple(rows), (note,))


def last_line(text: str | None) -> str:
    """The last line of an error: the message below a traceback."""
    return (text or "").strip().split("\n")[-1]


def run_table(comparison: Comparison) -> Table:
    """Every run with state, size and error."""
    header = ("run", "state", "tuned on", "seed", "records", "tokens", "steps", "error")
    rows = []
    for cell in comparison.cells:
        size = cell.training
        counts = (size.num_records, size.num_tokens, size.num_steps) if size else ()
        rows.append(
            (
                cell.run_id,
                cell.state,
                cell.category,
                DASH if cell.seed is None else str(cell.seed),
                *([f"{count:,}" for count in counts] or [DASH] * 3),
                last_line(cell.error)[:200],
            )
        )
    return Table("Runs", header, tuple(rows))


def all_tables(comparison: Comparison) -> list[Table]:
    """The tables of the report in reading order."""
    tables = [summary_table(comparison)]
    for result in comparison.results:
        families = list(result.block.families())
        if result.effects:
            tables.append(effect_table(result))
        for family in families:
            tables += [family_table(result, family), task_table(result, family)]
        tables += [other_protocol_table(result, index) for index in range(len(result.other_blocks))]
        if result.family_gains:
            tables.append(resolution_table(result))
    return [*tables, run_table(comparison)]
