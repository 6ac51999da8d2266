from __future__ import annotations

import pytest

from bioinstruct.metrics.choice import accuracy, argmax_choices, macro_f1


def test_the_three_rules_divide_by_nothing_characters_and_bytes() -> None:
    # −6, −8, −8.4 over 2, 4, 3 characters are −3, −2, −2.8; over 2, 4, 6 bytes −3, −2, −1.4.
    choices = argmax_choices([[-6.0, -8.0, -8.4]], [["ab", "abcd", "αβγ"]])
    assert choices == {"acc": [0], "acc_norm": [1], "acc_bytes": [2]}


def test_the_first_of_equal_options_wins() -> None:
    assert argmax_choices([[-1.0, -1.0]], [["A", "B"]])["acc"] == [0]


def test_accuracy_has_its_interval_and_standard_error() -> None:
    estimate = accuracy([0, 1, 1, 2], [0, 1, 2, -1], flavour="acc")
    assert estimate.value == 0.5
    assert (round(estimate.low, 4), round(estimate.high, 4)) == (0.15, 0.85)
    assert estimate.standard_error == pytest.approx(0.288675)
    assert estimate.signature == "accuracy|rule:acc|ties:first|ci:wilson95"


def test_macro_f1_counts_a_class_that_is_never_chosen_as_zero() -> None:
    # class 0: P 2/3, R 1, F 0.8; class 1: P 1, R 1/2, F 2/3; class 2: 0.
    estimate = macro_f1([0, 0, 0, 1], [0, 0, 1, 1], num_classes=3)
    assert estimate.value == pytest.approx((0.8 + 2 / 3 + 0) / 3)
    assert estimate.low <= estimate.value <= estimate.high


def test_an_unparsed_choice_lowers_recall_only() -> None:
    assert macro_f1([0, -1], [0, 0], num_classes=1).value == pytest.approx(2 / 3)
