from __future__ import annotations

import pytest

from bioinstruct.metrics.entities import exact_counts, micro_estimates, overlap_counts

GOLD = [("Drug", "aspirin"), ("Drug", "Aspirin"), ("Effect", "severe ulcer")]


def test_exact_matches_are_one_to_one_and_blind_to_case() -> None:
    assert exact_counts([("Drug", "ASPIRIN"), ("Drug", "aspirin"), ("Drug", "aspirin")], GOLD) == (2, 3, 3)


def test_a_right_text_of_a_wrong_type_is_no_match() -> None:
    assert exact_counts([("Effect", "aspirin")], GOLD) == (0, 1, 3)
    assert overlap_counts([("Effect", "aspirin")], GOLD) == (0, 1, 3)


def test_overlap_needs_a_common_token() -> None:
    assert overlap_counts([("Effect", "ulcer of stomach")], GOLD) == (1, 1, 3)
    assert overlap_counts([("Effect", "ulcers")], GOLD) == (0, 1, 3)


def test_overlap_matches_as_many_pairs_as_can_be() -> None:
    predicted = [("E", "a b"), ("E", "b")]
    assert overlap_counts(predicted, [("E", "b c"), ("E", "a")]) == (2, 2, 2)


def test_micro_scores_pool_the_items() -> None:
    estimates = micro_estimates([(1, 1, 2), (1, 3, 1)], flavour="exact")
    assert estimates["precision"].value == 0.5
    assert estimates["recall"].value == pytest.approx(2 / 3)
    assert estimates["f1"].value == pytest.approx(4 / 7)
    assert estimates["f1"].low <= estimates["f1"].value <= estimates["f1"].high
