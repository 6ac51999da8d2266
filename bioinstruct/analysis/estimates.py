"""Linear combinations of scores with 95 % intervals: items crossed with cells, seeds pooled over tuned cells.

Every number of the report is a weighted sum of mean scores: one cell, a gain, a family mean, a main effect, a
synergy. Its variance has two parts. Items: all cells answer the same items, so the weighted sum is formed per
item first and its variance over items taken; this is what pairing means. Seeds: a grid has few of them, so
one covariance between tasks is pooled over all tuned cells and intervals use t with its degrees of freedom
(Satterthwaite). The untuned base has no seed. The spread between seeds holds some item noise already, which
is subtracted once.

Legend: C categories, T tasks, S seeds, n items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from bioinstruct.analysis.outcomes import Outcome, TaskKey, outcome
from bioinstruct.analysis.variants import Variant

CONFIDENCE = 0.95

Weights = Mapping[tuple[str, str], float]
"""(category, task) → weight."""


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of scores with its 95 % interval."""

    value: float
    se: float
    df: float
    low: float
    high: float
    p: float
    """Two-sided, of the t test against 0."""
    num_items: int
    num_seeds: int
    """Fewest seeds of a tuned cell in it; 0 if there is none."""
    has_seed_variance: bool
    """False: only the items vary in the interval, because no cell has two seeds."""
    is_paired: bool
    """False: item values were not known, so cells count as independent."""


@dataclass(frozen=True)
class SeedVariance:
    """Covariance (T, T) of run scores between seeds, item noise removed, pooled over tuned cells."""

    total: np.ndarray
    items: np.ndarray
    """(T,) the part of the diagonal that is noise of the items a seed answers differently."""
    df: int


@dataclass(frozen=True)
class Block:
    """The outcomes of one variant on a list of tasks, ready for weighted sums."""

    keys: tuple[TaskKey, ...]
    outcomes: Mapping[tuple[str, str], Outcome]
    """(category, task) → outcome, for what was scored."""
    seeds: SeedVariance | None
    """None: no tuned category was run with two seeds."""

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(category for category, _ in self.outcomes))

    def families(self) -> dict[str, tuple[TaskKey, ...]]:
        """Family → its tasks."""
        names = dict.fromkeys(key.family for key in self.keys)
        return {name: tuple(key for key in self.keys if key.family == name) for name in names}

    def has(self, category: str, keys: Sequence[TaskKey]) -> bool:
        """Whether the category was scored on all of `keys`."""
        return all((category, key.task) in self.outcomes for key in keys)


def make_block(variant: Variant, keys: Sequence[TaskKey]) -> Block:
    """The outcomes of a variant on `keys`, one protocol per task, with the pooled seed variance."""
    outcomes = {}
    for category, cells in variant.cells.items():
        for key in keys:
            found = outcome(cells, key)
            if found is not None:
                outcomes[category, key.task] = found
    return Block(tuple(keys), outcomes, pool_seeds(outcomes, [key.task for key in keys]))


def pool_seeds(outcomes: Mapping[tuple[str, str], Outcome], tasks: Sequence[str]) -> SeedVariance | None:
    """Pools the seed covariance over tuned categories that have all tasks for two seeds or more."""
    total = np.zeros((len(tasks), len(tasks)))
    items = np.zeros(len(tasks))
    df = 0
    for category in dict.fromkeys(category for category, _ in outcomes):
        row = [outcomes.get((category, task)) for task in tasks]
        complete = [one for one in row if one is not None and one.is_tuned]
        num_seeds = {len(one.means) for one in complete}
        if len(complete) < len(tasks) or len(num_seeds) != 1 or min(num_seeds) < 2:
            continue
        means = np.stack([one.means for one in complete], axis=1)  # (S, T)
        centred = means - means.mean(axis=0)
        total += centred.T @ centred
        items += [_interaction(one) * (len(one.means) - 1) for one in complete]
        df += len(means) - 1
    return SeedVariance(total=total / df, items=items / df, df=df) if df else None


def _interaction(one: Outcome) -> float:
    """Variance of a run's mean from items that seeds answer differently: residual mean square / n."""
    if one.values is None or one.values.shape[1] < 2:
        return 0.0
    num_seeds, num_items = one.values.shape
    by_item = one.values.mean(axis=0, keepdims=True)
    by_seed = one.values.mean(axis=1, keepdims=True)
    residual = one.values - by_item - by_seed + one.values.mean()
    return float((residual**2).sum() / ((num_seeds - 1) * (num_items - 1)) / num_items)


def contrast(block: Block, weights: Weights) -> Contrast:
    """The weighted sum of mean scores with its interval; all of `weights` must be scored."""
    used = {key: weight for key, weight in weights.items() if weight}
    value = sum(weight * float(block.outcomes[key].means.mean()) for key, weight in used.items())
    item_parts = [_item_variance(block, used, task=task) for task in dict.fromkeys(task for _, task in used)]
    item_variance = sum(part for part, _, _ in item_parts)
    df_terms = sum(part**2 / max(n - 1, 1) for part, n, _ in item_parts)
    seed_variance, seed_total = _seed_variance(block, used)
    if block.seeds is not None:
        df_terms += seed_total**2 / block.seeds.df
    variance = item_variance + seed_variance
    se = float(np.sqrt(variance))
    df = float(variance**2 / df_terms) if variance > 0 and df_terms > 0 else float("inf")
    half = se * t_quantile((1 + CONFIDENCE) / 2, df)
    tuned = [len(block.outcomes[key].means) for key in used if block.outcomes[key].is_tuned]
    return Contrast(
        value=value,
        se=se,
        df=df,
        low=value - half,
        high=value + half,
        p=_p_value(value, se, df),
        num_items=sum(n for _, n, _ in item_parts),
        num_seeds=min(tuned, default=0),
        has_seed_variance=block.seeds is not None or not tuned,
        is_paired=all(paired for _, _, paired in item_parts),
    )


def bounded_contrast(block: Block, weights: Weights) -> Contrast:
    """The same for scores in [0, 1]: the interval ends where the weights leave no room for more."""
    found = contrast(block, weights)
    least = sum(weight for weight in weights.values() if weight < 0)
    most = sum(weight for weight in weights.values() if weight > 0)
    return replace(found, low=max(found.low, least), high=min(found.high, most))


def _p_value(value: float, se: float, df: float) -> float:
    if se == 0:
        return 1.0 if value == 0 else 0.0
    return float(2 * special.stdtr(df, -abs(value) / se))


def t_quantile(share: float, df: float) -> float:
    """Quantile of Student's t; scipy.special loads in a tenth of the time of scipy.stats."""
    return float(special.stdtrit(df, share) if np.isfinite(df) else special.ndtri(share))


def _item_variance(block: Block, used: Weights, *, task: str) -> tuple[float, int, bool]:
    """(variance from the items of one task, n, whether the cells could be paired)."""
    parts = [(weight, block.outcomes[category, name]) for (category, name), weight in used.items() if name == task]
    num_items = next(key.n for key in block.keys if key.task == task)
    values = [one.values for _, one in parts]
    known = [one for one in values if one is not None]
    if len(known) < len(values) or len({one.shape[1] for one in known}) != 1:
        return sum((weight * one.reported_se) ** 2 for weight, one in parts), num_items, False
    combined = sum(w * v.mean(axis=0) for (w, _), v in zip(parts, known, strict=True))  # (n,)
    combined = np.asarray(combined)
    n = len(combined)
    variance = float(combined.var(ddof=1)) if n > 1 else float("nan")
    if all(one.is_binary for _, one in parts) and min(weight for weight, _ in parts) < 0:
        variance = max(variance, _binary_floor(combined, [weight for weight, _ in parts]))
    return variance / n, n, True


def _binary_floor(combined: np.ndarray, weights: Sequence[float]) -> float:
    """Least item variance of a difference between right-or-wrong items: half an item at each end of its range.

    Without it 0 of 100 against 0 of 100 would give an interval of no width. After Agresti and Min 2005, who
    add half an item to each cell of a paired 2 x 2 table.
    """
    low = sum(weight for weight in weights if weight < 0)
    high = sum(weight for weight in weights if weight > 0)
    mean = float(combined.mean())
    return 0.5 * ((high - mean) ** 2 + (low - mean) ** 2) / len(combined)


def _seed_variance(block: Block, used: Weights) -> tuple[float, float]:
    """(seed variance without item noise, at least 0; seed variance with it) of a weighted sum."""
    if block.seeds is None:
        return 0.0, 0.0
    total = noise = 0.0
    for category in dict.fromkeys(category for category, _ in used):
        row = [block.outcomes.get((category, key.task)) for key in block.keys]
        counts = [
            len(one.means)
            for key, one in zip(block.keys, row, strict=True)
            if one is not None and one.is_tuned and (category, key.task) in used
        ]
        if not counts:
            continue
        weights = np.array([used.get((category, key.task), 0.0) for key in block.keys])
        total += float(weights @ block.seeds.total @ weights) / min(counts)
        noise += float(weights**2 @ block.seeds.items) / min(counts)
    return max(total - noise, 0.0), total


def cell_weights(category: str, keys: Sequence[TaskKey]) -> dict[tuple[str, str], float]:
    """Weights of the mean over tasks of one category."""
    return {(category, key.task): 1 / len(keys) for key in keys}


def combine(weights: Mapping[str, float], keys: Sequence[TaskKey]) -> dict[tuple[str, str], float]:
    """Weights of a sum over categories of the mean over tasks."""
    return {(category, key.task): weight / len(keys) for category, weight in weights.items() for key in keys}


def score_interval(mean: Contrast) -> tuple[float, float]:
    """95 % interval of a mean score in [0, 1]: Wilson's formula with the effective number of items.

    The effective number p (1 − p) / se² carries item and seed variance (Korn and Graubard 1998); it is n − 1
    for one run of right-or-wrong items. The interval stays within [0, 1] and keeps a width at 0 and at 1.
    """
    p = min(max(mean.value, 0.0), 1.0)
    t = t_quantile((1 + CONFIDENCE) / 2, mean.df)
    spread = p * (1 - p)
    n = spread / mean.se**2 if spread > 0 and mean.se > 0 else float(mean.num_items)
    if not np.isfinite(n) or n <= 0:
        return float("nan"), float("nan")
    centre = (p + t**2 / (2 * n)) / (1 + t**2 / n)
    half = t * np.sqrt(spread / n + t**2 / (4 * n**2)) / (1 + t**2 / n)
    return max(float(centre - half), 0.0), min(float(centre + half), 1.0)
