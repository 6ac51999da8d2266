"""ROUGE-L through rapidfuzz: hand-computed values, the boundary, the guard, and rouge-score pair by pair."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score import rouge_scorer

from bioinstruct.building.similarity import (
    SimilarityIndex,
    details,
    exceeds,
    nearest_scores,
    rouge_l,
    tokenize,
)
from bioinstruct.config.building import Boundary

WORDS = st.lists(st.sampled_from(["dose", "of", "TNF-α", "<", "5", "mg", "the"]), max_size=14).map(" ".join)


def make_index(*, boundary: Boundary = Boundary.rouge_score, guard: bool = False) -> SimilarityIndex:
    return SimilarityIndex(threshold=0.7, boundary=boundary, guard=guard)


def numbered_words(count: int, *, prefix: str = "w") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def test_tokens_are_lower_cased_runs_of_ascii_letters_and_digits() -> None:
    assert tokenize("TNF-α > 0.5 mg/dL, Größe") == ["tnf", "0", "5", "mg", "dl", "gr", "e"]


def test_rouge_l_equals_twice_the_lcs_over_both_lengths() -> None:
    # The LCS is "list side effects", 3 words: 2 * 3 / (4 + 6).
    index = make_index()
    for text in ("list the side effects", "list common side effects of it"):
        index.add(text)
    assert nearest_scores(index.texts)[0].score == pytest.approx(0.6)


def test_pair_above_the_threshold_is_a_conflict_and_names_its_neighbour() -> None:
    index = make_index()
    index.add("Explain the mechanism of aspirin")
    index.add("List the side effects of metformin")
    conflict = index.find_conflict("List the adverse effects of metformin")
    assert conflict is not None
    assert (conflict.index, conflict.score) == (1, pytest.approx(10 / 12))


def test_the_boundary_modes_differ_where_floating_point_rounds_up() -> None:
    # Lengths 13 and 7 with LCS 7: 2 * 7 / 20 = 0.7; the float formula gives 0.7000000000000001.
    assert rouge_l(7, 13, 7) > 0.7
    assert exceeds(7, 13, 7, threshold=0.7, boundary=Boundary.rouge_score)
    assert not exceeds(7, 13, 7, threshold=0.7, boundary=Boundary.exact)
    # Lengths 10 and 10 with LCS 7 are exactly 0.7 in both.
    assert not exceeds(7, 10, 10, threshold=0.7, boundary=Boundary.rouge_score)


@pytest.mark.parametrize("boundary", Boundary)
def test_pairs_at_exactly_the_threshold_are_decided_by_the_mode_in_the_whole_index(
    boundary: Boundary,
) -> None:
    index = make_index(boundary=boundary)
    index.add(" ".join(numbered_words(13)))
    conflict = index.find_conflict(" ".join(numbered_words(7)))
    assert (conflict is not None) == (boundary is Boundary.rouge_score)


def test_guard_keeps_pairs_that_differ_in_greek_letters_comparators_or_numbers() -> None:
    base = "State what a TNF-α level > 8 pg/mL means for the patient"
    variants = [base.replace("α", "β"), base.replace(">", "<"), base.replace("8", "80")]
    for variant in variants:
        for guard in (False, True):
            index = make_index(guard=guard)
            index.add(base)
            assert (index.find_conflict(variant) is None) == guard
    index = make_index(guard=True)
    index.add(base)
    assert index.find_conflict(base.replace("State", "Explain")) is not None


def test_details_read_numbers_whole_and_comparators_in_words() -> None:
    assert sorted(details("IFN-γ at least 1,200.5 IU or <= 3")) == ["1,200.5", "3", "<=", "at least", "γ"]


def test_instructions_without_tokens_are_similar_to_nothing() -> None:
    index = make_index()
    index.add("Α Β")
    assert index.find_conflict("Α Β") is None


@given(st.lists(WORDS, max_size=30))
def test_filtering_in_blocks_equals_filtering_one_by_one(texts: list[str]) -> None:
    block, single = make_index(guard=True), make_index(guard=True)
    expected = []
    for text in texts:
        expected.append(single.find_conflict(text))
        if expected[-1] is None:
            single.add(text)
    assert block.filter_in_order(texts) == expected
    assert block.texts == single.texts


@given(WORDS, WORDS)
def test_decision_equals_rouge_score_on_any_pair(first: str, second: str) -> None:
    index = make_index()
    index.add(second)
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    reference = scorer.score(first, second)["rougeL"].fmeasure
    assert (index.find_conflict(first) is not None) == (reference > 0.7)


@pytest.mark.realdata
def test_decisions_on_real_pairs_equal_rouge_score() -> None:
    folder = os.environ.get("BIOINSTRUCT_DATA")
    if not folder:
        pytest.skip("BIOINSTRUCT_DATA is not set")
    raw = json.loads((Path(folder) / "bioinstruct" / "bioinstruct_slice.json").read_text(encoding="utf-8"))
    texts = [record["instruction"] for record in raw]
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    rng = random.Random(0)
    pairs = [(rng.randrange(len(texts)), rng.randrange(len(texts))) for _ in range(99_000)]
    # Random pairs are rarely near 0.7; each record with its nearest neighbour is.
    pairs += [(i, neighbour.index) for i, neighbour in enumerate(nearest_scores(texts)[:1000])]
    num_above = 0
    for first, second in pairs:
        index = make_index()
        index.add(texts[second])
        reference = scorer.score(texts[first], texts[second])["rougeL"].fmeasure
        conflict = index.find_conflict(texts[first])
        assert (conflict is not None) == (reference > 0.7)
        assert conflict is None or conflict.score == reference
        num_above += conflict is not None
    assert num_above > 0
