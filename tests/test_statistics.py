from __future__ import annotations

import math

import numpy as np
import pytest

from bioinstruct import statistics


def test_wilson_interval_of_a_worked_example() -> None:
    # Newcombe (1998), table I: 81 of 263 gives 0.2553 to 0.3662.
    low, high = statistics.wilson_interval(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_wilson_interval_stays_within_zero_and_one() -> None:
    assert statistics.wilson_interval(0, 10).low == 0.0
    assert statistics.wilson_interval(10, 10).high == 1.0
    assert statistics.wilson_interval(0, 0) == (0.0, 1.0)


def test_wilson_interval_covers_a_proportion() -> None:
    draws = np.random.default_rng(1).binomial(100, 0.3, size=2000)
    intervals = [statistics.wilson_interval(int(right), 100) for right in draws]
    coverage = np.mean([low <= 0.3 <= high for low, high in intervals])
    assert 0.93 < coverage < 0.97


def test_standard_error_divides_by_n_minus_one() -> None:
    assert statistics.standard_error([1.0, 0.0, 0.0, 1.0]) == pytest.approx(math.sqrt(1 / 3) / 2)
    assert statistics.standard_error([1.0]) == 0.0


def test_bootstrap_of_a_mean_is_the_same_for_a_seed_and_surrounds_the_mean() -> None:
    values = [0.0, 0.25, 0.5, 0.75, 1.0] * 20
    first = statistics.bootstrap_mean(values, seed=3)
    assert first == statistics.bootstrap_mean(values, seed=3)
    assert first != statistics.bootstrap_mean(values, seed=4)
    half = 1.96 * statistics.standard_error(values)
    assert first.low == pytest.approx(0.5 - half, abs=0.01)
    assert first.high == pytest.approx(0.5 + half, abs=0.01)


def test_bootstrap_of_a_mean_covers_it() -> None:
    generator = np.random.default_rng(2)
    samples = generator.beta(2, 5, size=(200, 80))
    intervals = [statistics.bootstrap_mean([float(v) for v in sample]) for sample in samples]
    coverage = np.mean([low <= 2 / 7 <= high for low, high in intervals])
    assert 0.89 < coverage < 0.99


def test_micro_scores_of_counts() -> None:
    assert statistics.micro_prf(2, 4, 3) == (0.5, pytest.approx(2 / 3), pytest.approx(4 / 7))
    assert statistics.micro_prf(0, 0, 0) == (0.0, 0.0, 0.0)


def test_bootstrap_of_equal_items_has_no_width() -> None:
    precision, recall, f1 = statistics.bootstrap_micro_prf([(1, 2, 1)] * 30)
    assert precision == (0.5, 0.5)
    assert recall == (1.0, 1.0)
    assert f1 == pytest.approx((2 / 3, 2 / 3))


def test_bootstrap_of_macro_f1_of_a_perfect_run_reaches_one() -> None:
    targets = [0, 1, 2] * 20
    assert statistics.bootstrap_macro_f1(targets, targets, num_classes=3) == pytest.approx((1.0, 1.0))
    assert statistics.bootstrap_macro_f1([-1] * 60, targets, num_classes=3) == (0.0, 0.0)


def test_exact_mcnemar_of_a_worked_example() -> None:
    # 3 items only the first run has right, 9 only the second: 2 * P(X <= 3 | 12, 1/2) = 2 * 299 / 4096.
    first = [True] * 3 + [False] * 9 + [True] * 8
    second = [False] * 3 + [True] * 9 + [True] * 8
    test = statistics.mcnemar(first, second)
    assert test.p_value == pytest.approx(598 / 4096)
    assert test.difference == pytest.approx(6 / 20)
    assert test.high - test.difference == pytest.approx(1.959964 * math.sqrt(12 - 36 / 20) / 20)


def test_mcnemar_of_equal_runs_finds_nothing() -> None:
    assert statistics.mcnemar([True, False], [True, False]).p_value == 1.0


def test_paired_tests_refuse_runs_on_different_items() -> None:
    with pytest.raises(ValueError, match="same items"):
        statistics.mcnemar([True], [True, False])


def test_paired_bootstrap_sees_a_steady_gain_and_no_other() -> None:
    generator = np.random.default_rng(0)
    first = [float(v) for v in generator.normal(0.5, 0.2, 200)]
    steady = statistics.paired_bootstrap(first, [v + 0.01 for v in first])
    assert steady.p_value == pytest.approx(1e-4)
    assert (steady.low, steady.high) == pytest.approx((0.01, 0.01))
    noise = statistics.paired_bootstrap(first, [float(v) for v in generator.permutation(first)])
    assert noise.p_value > 0.2


def test_paired_bootstrap_of_micro_f1_works_on_counts() -> None:
    first, second = [(1, 2, 2)] * 40, [(2, 2, 2)] * 40
    test = statistics.paired_bootstrap_micro_f1(first, second)
    assert test.difference == pytest.approx(0.5)
    assert (test.low, test.high) == pytest.approx((0.5, 0.5))
    assert statistics.paired_bootstrap_micro_f1(first, first).p_value == 1.0


def test_holm_steps_down_and_never_decreases() -> None:
    # Holm (1979): 0.01*4, 0.02*3, max(0.06, 0.022*2), max(0.06, 0.9).
    adjusted = statistics.holm({"a": 0.022, "b": 0.01, "c": 0.9, "d": 0.02})
    assert adjusted == pytest.approx({"a": 0.06, "b": 0.04, "c": 0.9, "d": 0.06})
    assert list(adjusted) == ["a", "b", "c", "d"]


def test_a_hundred_items_resolve_about_ten_points() -> None:
    assert statistics.smallest_detectable_difference(100) == pytest.approx(0.098, abs=5e-4)
    assert statistics.paired_detectable_difference(0.25, 100) == pytest.approx(2.8016 * 0.05, abs=1e-3)


def test_seed_variance_is_pooled_over_the_cells() -> None:
    # Squares 2 * 0.01^2 and 2 * 0.02^2 over 2 degrees of freedom: variance 5e-4; t(0.975, 2) = 4.3027.
    cells = statistics.seed_pooled_intervals({"qa": [0.49, 0.51], "ie": [0.58, 0.62]})
    half = 4.302653 * math.sqrt(5e-4 / 2)
    assert cells["qa"] == pytest.approx((0.5, 0.5 - half, 0.5 + half, 2))
    assert cells["ie"].mean == pytest.approx(0.6)


def test_a_single_seed_has_an_unknown_variance_not_a_zero_one() -> None:
    assert statistics.seed_pooled_intervals({"qa": [0.5]})["qa"].high == math.inf


def test_pooled_intervals_of_three_seeds_cover_where_a_bootstrap_of_them_does_not() -> None:
    generator = np.random.default_rng(7)
    covered = []
    for _ in range(400):
        cells = {str(cell): [float(v) for v in generator.normal(0, 1, 3)] for cell in range(7)}
        covered += [c.low <= 0 <= c.high for c in statistics.seed_pooled_intervals(cells).values()]
    assert 0.93 < np.mean(covered) < 0.97


def test_macro_f1_of_counts_equals_that_of_single_decisions() -> None:
    choices, targets = [0, 0, 1, -1, 1] * 9, [0, 1, 1, 0, 1] * 9
    counts = [
        [int(c == t == k) for k in (0, 1)] + [int(c == k) for k in (0, 1)] + [int(t == k) for k in (0, 1)]
        for c, t in zip(choices, targets, strict=True)
    ]
    expected = statistics.bootstrap_macro_f1(choices, targets, num_classes=2)
    assert statistics.bootstrap_macro_f1_counts(counts, num_classes=2) == expected
    assert statistics.bootstrap_macro_f1_counts([], num_classes=2) == (0.0, 1.0)
