"""Agreement of two labellings, against values worked out by hand."""

from __future__ import annotations

import pytest

from bioinstruct.categorizer.agreement import measure_agreement


def test_agreement_equals_the_hand_computed_example() -> None:
    truth = ["qa", "qa", "ie", "ie", "gen", "gen"]
    predicted = ["qa", "ie", "ie", "ie", "gen", "qa"]
    agreement = measure_agreement(truth, predicted)
    # Agreed 4 of 6; chance (2*2 + 2*3 + 2*1) / 36 = 1/3; kappa (2/3 - 1/3) / (2/3) = 1/2.
    assert agreement.accuracy == pytest.approx(4 / 6)
    assert agreement.kappa == pytest.approx(0.5)
    # F1 qa 2*1/(2+2), ie 2*2/(2+3), gen 2*1/(2+1).
    assert agreement.f1 == pytest.approx({"qa": 1 / 2, "ie": 4 / 5, "gen": 2 / 3, "other": 0.0})
    assert agreement.macro_f1 == pytest.approx((1 / 2 + 4 / 5 + 2 / 3) / 3)


def test_kappa_of_equal_labellings_is_one_even_with_a_single_category() -> None:
    assert measure_agreement(["gen", "gen"], ["gen", "gen"]).kappa == 1.0
