from __future__ import annotations

import pytest

from bioinstruct.metrics.rouge import FLAVOURS, rouge_estimates, rouge_values


def test_values_of_a_pair_counted_by_hand() -> None:
    values = rouge_values(["the cat sat"], ["the cat sat down"])
    assert values["rouge1"] == [pytest.approx(2 * 3 / 7)]
    assert values["rouge2"] == [pytest.approx(2 * 2 / 5)]
    assert values["rougeL"] == [pytest.approx(2 * 3 / 7)]


def test_sentences_in_another_order_cost_rougel_but_not_rougelsum() -> None:
    values = rouge_values(["b c\na d"], ["a d\nb c"])
    assert values["rougeL"] == [0.5]
    assert values["rougeLsum"] == [1.0]


def test_only_the_stemmed_flavour_forgives_endings() -> None:
    values = rouge_values(["ulcers"], ["ulcer"])
    assert values["rougeL"] == [0.0]
    assert values["rougeL_stemmed"] == [1.0]


def test_every_flavour_signs_itself() -> None:
    estimates = rouge_estimates(rouge_values(["a"], ["a"]))
    assert tuple(estimates) == FLAVOURS
    signature = "rouge-score:0.1.2|rougeLsum|stem:False|split:newline|fmeasure|ci:bootstrap1000"
    assert estimates["rougeLsum"].signature == signature
