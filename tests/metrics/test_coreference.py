from __future__ import annotations

import pytest

from bioinstruct.metrics.coreference import token_estimates, token_score


def test_tokens_are_counted_as_multisets_against_the_closest_antecedent() -> None:
    score = token_score("the left lung mass", ["mass", "the mass in the lung"])
    # the, lung, mass are common: P 3/4, R 3/5.
    assert (score.precision, score.recall, score.exact) == (0.75, 0.6, 0.0)
    assert score.f1 == pytest.approx(2 / 3)


def test_case_and_punctuation_do_not_count() -> None:
    assert token_score("The mass.", ["the mass"]) == (1.0, 1.0, 1.0, 1.0)
    assert token_score("mass the", ["the mass"]).exact == 0.0


def test_scores_are_averaged_over_snippets() -> None:
    estimates = token_estimates([token_score("a b", ["a"]), token_score("", ["a"])])
    assert estimates["token_precision"].value == 0.25
    assert estimates["token_recall"].value == 0.5
    assert estimates["exact_match"].value == 0.0
