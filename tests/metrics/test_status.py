from __future__ import annotations

import pytest

from bioinstruct.metrics.status import conditional_status, status_pairs


def test_the_same_name_twice_is_matched_in_order() -> None:
    gold = [("active", "aspirin"), ("discontinued", "Aspirin")]
    assert status_pairs([("active", "aspirin")], gold) == [("active", "active"), ("discontinued", "")]


def test_systems_are_compared_on_what_all_of_them_found() -> None:
    gold = [[("active", "a"), ("discontinued", "b"), ("neither", "c")]]
    systems = {
        "first": [[("active", "a"), ("active", "b")]],
        "second": [[("active", "a"), ("neither", "c")]],
    }
    result = conditional_status(systems, gold)
    assert {name: estimates["status_accuracy_conditional"].value for name, estimates in result.items()} == {
        "first": 1.0,
        "second": 1.0,
    }
    assert result["first"]["status_accuracy_conditional"].n == 1
    assert "found by first+second" in result["first"]["status_macro_f1_conditional"].signature


def test_conditional_macro_f1_of_a_wrong_status() -> None:
    result = conditional_status({"one": [[("active", "a"), ("active", "b")]]}, [[("active", "a"), ("neither", "b")]])
    # active: P 1/2, R 1; the two other statuses 0.
    assert result["one"]["status_macro_f1_conditional"].value == pytest.approx(2 / 3 / 3)
