from __future__ import annotations

import json
from pathlib import Path

import pytest

from bioinstruct.analysis.comparison import analyse
from bioinstruct.analysis.frame import comparison_frame
from bioinstruct.analysis.outcomes import headline_keys, task_keys
from bioinstruct.analysis.reading import cells_from_rows, load_runs, load_sweep
from bioinstruct.analysis.variants import variants_of
from bioinstruct.errors import PrerequisiteError, UserError
from tests.analysis.analysis_fakes import grid_rows, row, write_run, write_sweep


def test_a_sweep_is_read_with_items_settings_and_states(tmp_path: Path) -> None:
    folder = write_sweep(grid_rows((0, 1)), tmp_path, states={1: "failed", 2: "waiting"})
    cells = load_sweep(folder, tmp_path / "train")
    assert [cell.state for cell in cells[:4]] == ["done", "failed", "waiting", "done"]
    assert len(cells) == 15
    failed = cells[1]
    assert (failed.category, failed.seed, failed.model, failed.include) == ("qa", 0, "tiny", ("qa",))
    assert failed.error is not None
    assert cells[3].settings["data.num_records"] == "600"
    items = cells[3].scores[0].items
    assert items is not None
    assert len(items.ids) == 200


def test_a_cell_that_never_started_belongs_to_its_grid_by_the_planned_config(tmp_path: Path) -> None:
    rows = grid_rows((0,), n=20)
    folder = write_sweep(rows, tmp_path, states={0: "waiting", 2: "waiting"})
    (folder / "cells").mkdir()
    for index in (0, 2):
        planned = (
            "model: {name: tiny}\nlora: {rank: 16}\ndata: {name: bioinstruct, num_records: 600}\noptim: {new: null}\n"
        )
        (folder / "cells" / f"{rows[index]['run_id']}.yaml").write_text(planned)
    for path in (tmp_path / "train").glob("*/config.yaml"):
        path.write_text(path.read_text().replace("data: {", "data: {name: bioinstruct, "))
    variants = variants_of(load_sweep(folder, tmp_path / "train"))
    assert [(variant.label, len(variant.cells)) for variant in variants] == [("", 8)]


def test_items_line_up_by_id_whatever_their_order_in_the_file() -> None:
    one = row(("qa",), 0)
    scores = one["scores"]
    assert isinstance(scores, list)
    before = cells_from_rows([one])[0].scores[0].items
    for name, column in scores[0]["items"].items():
        scores[0]["items"][name] = column[::-1]
    after = cells_from_rows([one])[0].scores[0].items
    assert before is not None
    assert after is not None
    assert before.ids == after.ids
    assert before.value.tolist() == after.value.tolist()


def test_a_done_cell_without_results_is_interrupted_and_not_lost(tmp_path: Path) -> None:
    rows = grid_rows((0,))
    folder = write_sweep(rows, tmp_path)
    (tmp_path / "train" / str(rows[3]["run_id"]) / "results.json").unlink()
    cell = load_sweep(folder, tmp_path / "train")[3]
    assert cell.state == "interrupted"
    assert "no results.json" in str(cell.error)


def test_runs_are_loaded_by_id_and_an_unknown_one_names_those_there(tmp_path: Path) -> None:
    one = row(("qa",), 0)
    write_run(one, tmp_path)
    assert load_runs([str(one["run_id"])], tmp_path)[0].state == "done"
    with pytest.raises(PrerequisiteError, match=str(one["run_id"])):
        load_runs(["tiny-ie-s0-00000000"], tmp_path)
    with pytest.raises(UserError, match="not a name"):
        load_runs(["../secret"], tmp_path)
    with pytest.raises(UserError, match="runs is empty"):
        load_runs([], tmp_path)


def test_a_folder_that_is_no_sweep_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError, match=r"outputs/sweeps"):
        load_sweep(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": "x"}, "seed is 'x'"),
        ({"category": None}, "category is None"),
        ({"scores": 3}, "scores is 3"),
    ],
)
def test_a_wrong_value_names_row_key_and_value(change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        cells_from_rows([row(("qa",), 0) | change])


def test_a_score_file_with_columns_of_different_length_is_refused() -> None:
    one = row(("qa",), 0)
    scores = one["scores"]
    assert isinstance(scores, list)
    scores[0]["items"]["value"].pop()
    with pytest.raises(UserError, match="199 values for 200 ids"):
        cells_from_rows([one])


def test_rows_without_items_compare_unpaired() -> None:
    rows = grid_rows((0,))
    for one in rows:
        scores = one["scores"]
        assert isinstance(scores, list)
        for score in scores:
            del score["items"]
    gains = analyse(cells_from_rows(rows), title="t").results[0].task_gains
    assert len(gains) == 7 * 6
    assert {gain.test for gain in gains} == {"z, unpaired: no item values"}


def test_runs_scored_on_other_prompts_are_refused_by_name() -> None:
    rows = grid_rows((0,))
    scores = rows[2]["scores"]
    assert isinstance(scores, list)
    scores[0]["protocol_hash"] = "ffffffffffff"
    with pytest.raises(UserError) as refused:
        analyse(cells_from_rows(rows), title="t")
    assert str(rows[0]["run_id"]) in str(refused.value)
    assert str(rows[2]["run_id"]) in str(refused.value)
    assert "bioinstruct-evaluate" in str(refused.value)


def test_a_run_scored_a_second_time_on_other_items_still_compares_on_the_common_ones() -> None:
    rows = grid_rows((0,), n=40)
    scores = rows[2]["scores"]
    assert isinstance(scores, list)
    scores.insert(0, scores[0] | {"protocol_hash": "ffffffffffff", "n": 9})
    found = analyse(cells_from_rows(rows), title="t")
    assert {key.n for key in found.keys} == {40}
    assert all(len(cell.scores) == 8 for cell in found.cells)


def test_three_runs_of_which_each_two_share_items_but_not_all_are_refused() -> None:
    rows = grid_rows((0,), n=40)[:3]
    both = rows[0]["scores"]
    other = rows[2]["scores"]
    assert isinstance(both, list)
    assert isinstance(other, list)
    both.append(both[0] | {"protocol_hash": "ffffffffffff"})
    other[0]["protocol_hash"] = "ffffffffffff"
    with pytest.raises(UserError, match="allowed: one hash in common"):
        analyse(cells_from_rows(rows), title="t")


def test_of_several_common_item_sets_the_largest_counts() -> None:
    rows = grid_rows((0,), n=40)
    for one, bigger in zip(rows, grid_rows((0,), n=80), strict=True):
        scores, more = one["scores"], bigger["scores"]
        assert isinstance(scores, list)
        assert isinstance(more, list)
        one["scores"] = [*scores, *(score | {"protocol_hash": "ffffffffffff"} for score in more)]
    assert {key.n for key in analyse(cells_from_rows(rows), title="t").keys} == {80}


def test_families_are_averaged_over_the_template_protocol_where_a_task_has_it() -> None:
    cells = cells_from_rows(grid_rows((0,)))
    keys = task_keys(cells)
    assert len(keys) == 8
    assert {key.protocol for key in headline_keys(keys)} == {"alpaca"}
    assert [key.family for key in headline_keys(keys)] == ["qa", "qa", "nli", "ie", "ie", "gen"]


def test_variants_are_told_apart_by_the_fewest_settings_and_share_the_base(tmp_path: Path) -> None:
    rows = grid_rows((0,)) + [one for one in grid_rows((0,), records=100) if one["category"] != "none"]
    folder = write_sweep(rows, tmp_path)
    variants = variants_of(load_sweep(folder, tmp_path / "train"))
    assert [variant.label for variant in variants] == ["num_records=100", "num_records=600"]
    assert all(variant.categories[0] == "none" for variant in variants)
    assert all(len(variant.cells) == 8 for variant in variants)


def test_the_base_of_another_model_does_not_join() -> None:
    rows = grid_rows((0,)) + [one for one in grid_rows((0,), model="llama2_7b") if one["category"] != "none"]
    variants = {variant.label: variant for variant in variants_of(cells_from_rows(rows))}
    assert variants["model=tiny"].base is not None
    assert variants["model=llama2_7b"].base is None


def test_the_frame_has_one_row_per_cell_task_protocol_and_metric(tmp_path: Path) -> None:
    folder = write_sweep(grid_rows((0,)), tmp_path, states={4: "failed"})
    frame = comparison_frame(load_sweep(folder, tmp_path / "train"))
    assert len(frame) == 7 * 8 + 1
    assert set(frame[frame["state"] == "done"]["metric"]) == {"accuracy", "entity_f1", "rougeLsum"}
    assert (frame["low"].dropna() <= frame["value"].dropna()).all()


def test_a_damaged_results_file_is_one_message(tmp_path: Path) -> None:
    rows = grid_rows((0,))
    folder = write_sweep(rows, tmp_path)
    (tmp_path / "train" / str(rows[0]["run_id"]) / "results.json").write_text(json.dumps([])[:1])
    with pytest.raises(UserError, match=r"results\.json"):
        load_sweep(folder, tmp_path / "train")
