from __future__ import annotations

from collections.abc import Mapping

import pytest

from bioinstruct.analysis.comparison import VariantResult, analyse
from bioinstruct.analysis.effects import Layout, detectable, factorial_weights, layout_of
from bioinstruct.analysis.reading import cells_from_rows
from tests.analysis.analysis_fakes import SUBSETS, TASKS, grid_rows, label, row

FACTORS = ("qa", "ie", "gen")


def results(rows: list[dict[str, object]]) -> list[VariantResult]:
    return list(analyse(cells_from_rows(rows), title="t").results)


def test_the_weights_of_a_main_effect_and_of_a_synergy_are_those_of_the_factorial_design() -> None:
    main = factorial_weights(Layout(FACTORS, ()), ["qa"])
    assert main["none"] == main["ie"] == main["gen"] == main["ie_gen"] == -0.25
    assert main["qa"] == main["qa_ie"] == main["qa_gen"] == main["all"] == 0.25
    both = factorial_weights(Layout(FACTORS, ()), ["qa", "ie"])
    assert {name for name, weight in both.items() if weight == 0.5} == {"none", "gen", "qa_ie", "all"}
    assert {name for name, weight in both.items() if weight == -0.5} == {"qa", "ie", "qa_gen", "ie_gen"}


def test_planted_effects_are_found_and_absent_ones_are_not() -> None:
    effects = {(e.name, e.family): e for e in results(grid_rows(n=400))[0].effects}
    own = effects["IE", "ie"].estimate
    assert own is not None
    assert own.low < 0.25 + 0.03 < own.high  # planted: 0.25, and half of the synergy 0.06
    synergy = effects["QA × IE", "ie"].estimate
    assert synergy is not None
    assert synergy.low < 0.06 < synergy.high
    assert effects["QA", "qa"].p_holm < 0.001
    assert effects["QA × GEN", "gen"].p_holm > 0.05
    related = effects["own − other families", "all"].estimate
    assert related is not None
    assert related.low > 0.1


def test_a_missing_cell_leaves_effects_open_and_says_which_cell() -> None:
    rows = [one for one in grid_rows((0,)) if one["category"] != "qa_ie"]
    found = results(rows)[0]
    factorial = [e for e in found.effects if e.kind != "added last"]
    assert {e.estimate for e in factorial} == {None}
    assert {e.missing for e in factorial} == {"needs qa_ie"}
    assert len({gain.category for gain in found.family_gains}) == 6


def test_leaving_one_category_out_shows_what_it_adds_to_the_others() -> None:
    kept = {"none", "all", "qa_ie", "qa_gen", "ie_gen"}
    rows = [one for one in grid_rows((0, 1)) if one["category"] in kept]
    found = {(e.name, e.family): e for e in results(rows)[0].effects if e.kind == "added last"}
    assert {name for name, _ in found} == {"all − ie_gen", "all − qa_gen", "all − qa_ie"}
    added = found["all − ie_gen", "qa"].estimate
    assert added is not None
    assert added.low > 0.05


def test_one_tuned_cell_has_gains_and_no_effects() -> None:
    rows = [one for one in grid_rows((0,)) if one["category"] in ("none", "all")]
    found = results(rows)[0]
    assert found.effects == ()
    assert len(found.family_gains) == 4


def test_a_fixed_total_design_has_contrasts_between_mixes_and_no_main_effects() -> None:
    rows = [one for one in grid_rows((0, 1), design="fixed_total") if one["category"] != "none"]
    found = results(rows)[0]
    assert {e.kind for e in found.effects} == {"mix contrast"}
    assert [e.name for e in found.effects if e.family == "qa"] == [
        f"{name} − all" for name in ("qa", "ie", "gen", "qa_ie", "qa_gen", "ie_gen")
    ]


def test_one_seed_is_tested_exactly_by_mcnemar_and_by_the_paired_bootstrap() -> None:
    gains = {(g.category, g.task): g for g in results(grid_rows((0,)))[0].task_gains}
    assert gains["qa", "pubmedqa"].test == "exact McNemar"
    assert gains["qa", "phee"].test == "paired bootstrap"
    assert gains["qa", "mts_dialog"].test == "paired bootstrap"
    assert gains["ie", "phee"].p < 0.001


def test_several_seeds_are_tested_with_the_spread_between_seeds() -> None:
    found = results(grid_rows((0, 1)))[0]
    assert {g.test for g in found.task_gains} == {"t, items crossed with cells"}
    assert all(g.difference.has_seed_variance for g in found.family_gains)
    assert all(g.difference.num_seeds == 2 for g in found.family_gains)


def test_corrected_p_values_are_never_smaller_and_the_smallest_is_multiplied_by_their_number() -> None:
    gains = results(grid_rows((0, 1)))[0].family_gains
    assert len(gains) == 7 * 4
    assert all(g.p_holm >= g.p for g in gains)
    least = min(gains, key=lambda g: g.p)
    assert least.p_holm == pytest.approx(28 * least.p)


def zeroed(one: dict[str, object]) -> dict[str, object]:
    """The row with every item wrong on every task."""
    scores = one["scores"]
    assert isinstance(scores, list)
    for score in scores:
        for key in ("value", "true_positives"):
            score["items"][key] = [0] * score["n"]
        score["metrics"][score["headline"]] |= {"value": 0.0, "low": 0.0, "high": 0.02}
    return one


def test_a_relative_gain_from_zero_is_undefined_and_one_to_zero_is_minus_100_percent() -> None:
    rows = [zeroed(row((), None)), row(("qa",), 0)]
    assert {g.relative for g in results(rows)[0].family_gains} == {None}
    rows = [row((), None), zeroed(row(("qa",), 0))]
    ratios = [g.relative for g in results(rows)[0].family_gains]
    assert all(one is not None and one.value == -1 and one.low == -1 for one in ratios)


def test_relative_gains_lie_inside_their_interval_and_match_the_absolute_ones() -> None:
    for gain in results(grid_rows((0, 1)))[0].family_gains:
        assert gain.relative is not None
        assert gain.relative.low < gain.relative.value < gain.relative.high
        assert (gain.relative.value > 0) == (gain.difference.value > 0)


def test_other_in_every_tuned_cell_is_held_in() -> None:
    rows = grid_rows((0,))
    for one in rows:
        include = one["include"]
        assert isinstance(include, list)
        if one["category"] != "none":
            one["include"] = [*include, "other"]
            one["category"] = "all_other" if len(include) == 3 else f"{one['category']}_other"
    variant = results(rows)[0].variant
    assert layout_of(variant) == Layout(FACTORS, ("other",))
    assert layout_of(variant).label(["qa"]) == "qa_other"


def test_more_items_detect_smaller_differences() -> None:
    def least(n: int) -> Mapping[str, float]:
        gains = results(grid_rows((0, 1), n=n, tasks=TASKS[:1]))[0].family_gains
        return {g.category: detectable(g.difference) for g in gains}

    few, many = least(50), least(800)
    assert all(many[name] < few[name] for name in many)


def test_the_fakes_hold_the_eight_subsets() -> None:
    assert [label(subset) for subset in SUBSETS] == [
        "none",
        "qa",
        "ie",
        "gen",
        "qa_ie",
        "qa_gen",
        "ie_gen",
        "all",
    ]
