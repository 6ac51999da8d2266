"""How often the 95 % intervals of the analysis hold the planted value, on simulated grids.

python experiments/interval_coverage/coverage.py [number of grids, default 2000]

A grid is none, qa, ie, gen, the pairs and all, two tasks of one family, n items each, S seeds. Items are
harder or easier for every cell alike, and differ by cell, by seed and by chance. Prints a Markdown table.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from scipy.stats import norm

from bioinstruct.analysis.cells import Items
from bioinstruct.analysis.effects import Layout, factorial_weights
from bioinstruct.analysis.estimates import (
    Block,
    cell_weights,
    combine,
    contrast,
    pool_seeds,
    score_interval,
)
from bioinstruct.analysis.gains import relative_gain
from bioinstruct.analysis.outcomes import Outcome, TaskKey, item_values
from bioinstruct.categories import FACTORS, subset_label

SEED = 20240701
SUBSETS = [subset for size in range(4) for subset in combinations(FACTORS, size)]
TASKS = ("first", "second")
KEYS = tuple(TaskKey(name, "qa", "alpaca", "", "test", "score", 0, ()) for name in TASKS)
LAYOUT = Layout(FACTORS, ())
ITEM_SD, ITEM_BY_CELL_SD, NOISE_SD = 1.0, 0.5, 0.7
"""Latent standard deviations of an item's difficulty, of its change by cell, and of chance."""
NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(40)


@dataclass(frozen=True)
class World:
    """What is simulated."""

    name: str
    metric: str
    """accuracy, micro_f1 or mean."""
    num_items: int
    num_seeds: int
    seed_sd: float
    """Latent standard deviation between seeds."""
    unequal: bool = False
    """Cells with ie have three times the spread between seeds of the others, which pooling does not know."""


WORLDS = (
    World("accuracy, 100 items", "accuracy", 100, 3, 0.15),
    World("accuracy, 1,000 items", "accuracy", 1000, 3, 0.15),
    World("accuracy, 1,000 items, seeds equal", "accuracy", 1000, 3, 0.0),
    World("accuracy, 1,000 items, 2 seeds", "accuracy", 1000, 2, 0.15),
    World("accuracy, 400 items, one seed", "accuracy", 400, 1, 0.15),
    World("micro-F1, 200 items", "micro_f1", 200, 3, 0.15),
    World("mean score, 40 items", "mean", 40, 3, 0.15),
    World("accuracy, 1,000 items, unequal spread", "accuracy", 1000, 3, 0.08, unequal=True),
)


def latent_level(subset: Sequence[str]) -> float:
    """The planted level of a cell: QA helps most, QA and IE more than the sum of both."""
    return -0.4 + sum({"qa": 0.8, "ie": 0.2, "gen": -0.1}[name] for name in subset) + 0.3 * ({"qa", "ie"} <= {*subset})


def seed_sd(world: World, subset: Sequence[str]) -> float:
    """Spread between seeds of one cell; the untuned base has none."""
    return 0.0 if not subset else world.seed_sd * (3 if world.unequal and "ie" in subset else 1)


def expected(metric: str, level: np.ndarray, variance: float) -> np.ndarray:
    """Expected score over items of a latent level, with the items' latent variance."""
    if metric == "mean":
        return 0.4 + 0.1 * level
    right = norm.cdf(level / np.sqrt(variance))
    if metric == "accuracy":
        return np.asarray(right)
    return np.asarray(6 * right / (4.5 + 1.5 * right))  # 2 E tp / (E predicted + E gold), see `draw_task`


def truth(world: World, subset: Sequence[str], offsets: np.ndarray | None) -> float:
    """The planted mean score of a cell on a task: over all seeds, or of the drawn seeds where given."""
    variance = ITEM_SD**2 + ITEM_BY_CELL_SD**2 + NOISE_SD**2
    level = latent_level(subset)
    if offsets is not None:
        return float(expected(world.metric, level + offsets, variance).mean())
    values = expected(world.metric, level + seed_sd(world, subset) * NODES, variance)
    return float((values * NODE_WEIGHTS).sum() / NODE_WEIGHTS.sum())


def draw_task(world: World, rng: np.random.Generator, offsets: Mapping[str, np.ndarray]) -> dict[str, Outcome]:
    """One task of one grid: category → outcome. Extraction items hold 1 + Poisson(2) gold entities."""
    n = world.num_items
    difficulty = rng.normal(0, ITEM_SD, n)
    gold = 1 + rng.poisson(2, n)
    outcomes = {}
    for subset in SUBSETS:
        name = subset_label(subset)
        by_cell = rng.normal(0, ITEM_BY_CELL_SD, n)
        latent = latent_level(subset) + offsets[name][:, None] + difficulty + by_cell  # (S, n)
        values = np.stack([_values(world.metric, row, gold, rng) for row in latent])
        outcomes[name] = Outcome(
            means=values.mean(axis=1),
            values=values,
            reported_se=float("nan"),
            is_tuned=bool(subset),
            is_binary=world.metric == "accuracy",
        )
    return outcomes


def _values(metric: str, latent: np.ndarray, gold: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if metric == "micro_f1":
        right = norm.cdf(latent / NOISE_SD)
        hits = rng.binomial(gold, right)
        wrong = rng.poisson(0.5 * gold * (1 - right))
        items = Items((), hits * 0.0, hits.astype(float), (hits + wrong).astype(float), gold.astype(float))
        return item_values(items, "micro_f1")
    noisy = latent + rng.normal(0, NOISE_SD, len(latent))
    return np.asarray(noisy > 0, dtype=float) if metric == "accuracy" else 0.4 + 0.1 * noisy


def quantities() -> dict[str, dict[str, float]]:
    """Name → weights over categories."""
    return {
        "score of qa": {"qa": 1.0},
        "gain of qa": {"qa": 1.0, "none": -1.0},
        "ie − qa_ie": {"ie": 1.0, "qa_ie": -1.0},
        "main effect of QA": factorial_weights(LAYOUT, ["qa"]),
        "synergy QA × IE": factorial_weights(LAYOUT, ["qa", "ie"]),
    }


def simulate(world: World, num_grids: int, *, seed: int = SEED) -> dict[str, tuple[float, float, float]]:
    """Quantity → (coverage, coverage of items-only intervals, mean estimate − planted value in points)."""
    rng = np.random.default_rng([seed, *world.name.encode()])
    held: dict[str, list[tuple[bool, bool, float]]] = {}
    for _ in range(num_grids):
        block, planted = draw_grid(world, rng)
        unpooled = Block(block.keys, block.outcomes, None)
        for name, weights in quantities().items():
            value = sum(weight * planted[category] for category, weight in weights.items())
            held.setdefault(name, []).append(_held(block, unpooled, weights, value))
        ratio, items_ratio = (relative_gain(one, "qa", keys=KEYS) for one in (block, unpooled))
        if ratio is not None and items_ratio is not None:
            value = planted["qa"] / planted["none"] - 1
            inside = [one.low <= value <= one.high for one in (ratio, items_ratio)]
            held.setdefault("relative gain of qa", []).append((inside[0], inside[1], ratio.value - value))
    return {name: _summary(rows) for name, rows in held.items()}


def draw_grid(world: World, rng: np.random.Generator) -> tuple[Block, dict[str, float]]:
    """One simulated grid, and the planted score of each category."""
    offsets = {subset_label(s): rng.normal(0, 1, world.num_seeds if s else 1) * seed_sd(world, s) for s in SUBSETS}
    drawn = {task: draw_task(world, rng, offsets) for task in TASKS}
    outcomes = {(name, task): one for task, by_name in drawn.items() for name, one in by_name.items()}
    single = world.num_seeds == 1
    planted = {subset_label(s): truth(world, s, offsets[subset_label(s)] if single else None) for s in SUBSETS}
    return Block(KEYS, outcomes, pool_seeds(outcomes, TASKS)), planted


def _held(block: Block, unpooled: Block, weights: Mapping[str, float], value: float) -> tuple[bool, bool, float]:
    if len(weights) == 1:
        mean = contrast(block, cell_weights(next(iter(weights)), KEYS))
        low, high = score_interval(mean)
        items_low, items_high = score_interval(contrast(unpooled, cell_weights(next(iter(weights)), KEYS)))
    else:
        mean = contrast(block, combine(weights, KEYS))
        items = contrast(unpooled, combine(weights, KEYS))
        low, high, items_low, items_high = mean.low, mean.high, items.low, items.high
    return low <= value <= high, items_low <= value <= items_high, mean.value - value


def _summary(rows: Sequence[tuple[bool, bool, float]]) -> tuple[float, float, float]:
    table = np.array(rows, dtype=float)
    return float(table[:, 0].mean()), float(table[:, 1].mean()), 100 * float(table[:, 2].mean())


def seed_bootstrap_coverage(num_seeds: int, num_grids: int, *, seed: int = SEED) -> float:
    """Coverage of the percentile bootstrap over the seeds of one cell, all n^n resamples, normal spread."""
    rng = np.random.default_rng(seed)
    resamples = np.array(list(product(range(num_seeds), repeat=num_seeds)))
    means = rng.normal(0, 1, (num_grids, num_seeds))[:, resamples].mean(axis=2)
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    return float(((low <= 0) & (high >= 0)).mean())


def main() -> None:
    """Prints the table of README.md."""
    num_grids = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    print("| world | quantity | coverage, % | items only, % | bias, points |\n|---|---|---|---|---|")
    for world in WORLDS:
        for name, (coverage, items_only, bias) in simulate(world, num_grids).items():
            shares = f"{100 * coverage:.1f} | {100 * items_only:.1f}"
            print(f"| {world.name} | {name} | {shares} | {bias:+.2f} |", flush=True)
    print(f"\nPercentile bootstrap over three seeds: {100 * seed_bootstrap_coverage(3, 20 * num_grids):.1f} %")


if __name__ == "__main__":
    main()
