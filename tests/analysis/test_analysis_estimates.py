from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from bioinstruct.analysis.cells import Items
from bioinstruct.analysis.estimates import (
    Block,
    SeedVariance,
    bounded_contrast,
    cell_weights,
    combine,
    contrast,
    pool_seeds,
    score_interval,
)
from bioinstruct.analysis.outcomes import Outcome, TaskKey, item_values
from bioinstruct.statistics import wilson_interval

KEY = TaskKey("t", "qa", "alpaca", "h", "test", "accuracy", 4, ())
GAIN = {"qa": 1.0, "none": -1.0}


def outcome(rows: list[list[float]], *, tuned: bool = True) -> Outcome:
    values = np.array(rows, dtype=float)
    return Outcome(
        means=values.mean(axis=1),
        values=values,
        reported_se=0.1,
        is_tuned=tuned,
        is_binary=bool(np.isin(values, (0, 1)).all()),
    )


def block(**cells: list[list[float]]) -> Block:
    outcomes = {(name, "t"): outcome(rows, tuned=name != "none") for name, rows in cells.items()}
    return Block((KEY,), outcomes, pool_seeds(outcomes, ["t"]))


def test_a_gain_of_one_seed_is_the_paired_t_interval_over_items() -> None:
    found = contrast(block(none=[[0, 0, 1, 1]], qa=[[1, 1, 1, 0]]), combine(GAIN, [KEY]))
    # differences 1, 1, 0, −1: mean 0.25, variance 2.75 / 3, standard error √(0.91667 / 4), t(3) = 3.18245
    assert found.value == pytest.approx(0.25)
    assert found.se == pytest.approx(0.478714, abs=1e-6)
    assert (found.low, found.high) == pytest.approx((0.25 - 1.523477, 0.25 + 1.523477), abs=1e-5)
    assert not found.has_seed_variance


def test_no_interval_of_a_gain_leaves_what_scores_allow() -> None:
    found = bounded_contrast(block(none=[[0, 1]], qa=[[1, 0]]), combine(GAIN, [KEY]))
    assert (found.low, found.high) == (-1, 1)


def test_the_seed_variance_is_pooled_over_tuned_cells_and_the_base_has_none() -> None:
    cells = block(none=[[0.1, 0.1]], qa=[[0.2, 0.2], [0.4, 0.4]], ie=[[0.5, 0.5], [0.5, 0.5]])
    found = contrast(cells, combine(GAIN, [KEY]))
    # variances between seeds 0.02 and 0 with one degree of freedom each: pooled 0.01, t(2) = 4.30265
    assert found.df == pytest.approx(2)
    assert found.se == pytest.approx((0.01 / 2) ** 0.5)
    assert found.high == pytest.approx(0.2 + 4.30265 * 0.0707107, abs=1e-5)


def test_item_noise_inside_the_seed_variance_is_counted_once() -> None:
    cells = block(qa=[[1, 1, 1, 0], [0, 1, 0, 0]])
    # items: means 0.5, 1, 0.5, 0, variance 1/6 over 4 items; seeds: variance 1/8 of means 0.75 and 0.25, of
    # which the residual mean square 1/6 over 4 items is noise: 1/24 + (1/8 − 1/24) / 2 = 1/12
    assert contrast(cells, cell_weights("qa", [KEY])).se == pytest.approx((1 / 12) ** 0.5)


def test_equal_answers_everywhere_still_leave_an_interval() -> None:
    found = contrast(block(none=[[0] * 100], qa=[[0] * 100]), combine(GAIN, [KEY]))
    assert found.value == 0
    assert found.low < 0 < found.high
    assert found.p == 1


def test_a_task_without_any_success_does_not_widen_the_family_mean() -> None:
    other = TaskKey("u", "qa", "alpaca", "h", "test", "accuracy", 100, ())
    zeros, some = outcome([[0.0] * 100]), outcome([[1.0] * 2 + [0.0] * 98])
    cells = Block((KEY, other), {("qa", "t"): zeros, ("qa", "u"): some}, None)
    low, high = score_interval(contrast(cells, cell_weights("qa", [KEY, other])))
    assert (low, high) == pytest.approx(tuple(wilson_interval(2, 200)), abs=0.003)


def test_a_cell_at_zero_among_cells_that_vary_between_seeds_keeps_an_interval() -> None:
    cells = block(qa=[[0.0] * 50, [0.0] * 50], ie=[[0.2] * 50, [0.4] * 50])
    noisy = Block((replace(KEY, n=50),), cells.outcomes, SeedVariance(np.eye(1) / 1e4, np.ones(1) / 1e4, df=2))
    found = score_interval(contrast(noisy, cell_weights("qa", [KEY])))
    assert found == pytest.approx(tuple(wilson_interval(0, 50)), abs=0.001)


def test_items_are_crossed_so_a_shared_difficulty_cancels() -> None:
    hard = [0.1, 0.9] * 50
    better = [value + 0.05 + 0.001 * (i % 3) for i, value in enumerate(hard)]
    found = contrast(block(none=[hard], qa=[better]), combine(GAIN, [KEY]))
    assert found.high - found.low < 0.001


def test_without_item_values_cells_count_as_independent() -> None:
    known = outcome([[0, 1]])
    bare = Outcome(means=np.array([0.8]), values=None, reported_se=0.03, is_tuned=True)
    base = Outcome(means=np.array([0.5]), values=None, reported_se=0.04, is_tuned=False)
    found = contrast(Block((KEY,), {("qa", "t"): bare, ("none", "t"): base}, None), combine(GAIN, [KEY]))
    assert found.se == pytest.approx(0.05)
    assert not found.is_paired
    mixed = Block((KEY,), {("qa", "t"): known, ("none", "t"): base}, None)
    assert not contrast(mixed, combine(GAIN, [KEY])).is_paired


def test_linearised_micro_f1_values_average_to_the_micro_f1() -> None:
    items = Items(("a", "b"), np.zeros(2), np.array([2.0, 0.0]), np.array([3.0, 1.0]), np.array([2.0, 2.0]))
    # F1 = 2·2 / (4 + 4) = 0.5; values 0.5 + 2 (2 tp − 0.5 size) / 8
    assert item_values(items, "micro_f1").tolist() == pytest.approx([0.875, 0.125])


def test_micro_f1_of_nothing_predicted_and_nothing_there_is_zero() -> None:
    assert item_values(Items(("a",), *[np.zeros(1)] * 4), "micro_f1").tolist() == [0]


@pytest.mark.parametrize("num_right", [0, 3, 150, 300])
def test_the_score_interval_of_one_run_is_wilsons(num_right: int) -> None:
    values = [1.0] * num_right + [0.0] * (300 - num_right)
    found = score_interval(contrast(block(qa=[values]), cell_weights("qa", [KEY])))
    assert found == pytest.approx(tuple(wilson_interval(num_right, 300)), abs=0.004)


def coverage_script() -> ModuleType:
    path = Path(__file__).parents[2] / "experiments" / "interval_coverage" / "coverage.py"
    spec = importlib.util.spec_from_file_location("interval_coverage", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("index", [0, 5], ids=["accuracy", "micro_f1"])
def test_simulated_grids_give_back_planted_effects_and_nominal_coverage(index: int) -> None:
    script = coverage_script()
    found = script.simulate(script.WORLDS[index], 200)
    assert len(found) == 6
    for name, (coverage, items_only, bias) in found.items():
        assert 0.90 <= coverage <= 0.99, name
        assert items_only < coverage + 0.01, name
        assert abs(bias) < (4.0 if name.startswith("relative") else 1.0), name
