from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from bioinstruct.analysis.comparison import analyse
from bioinstruct.analysis.gains import Ratio
from bioinstruct.analysis.numbers import interval_text, p_text, points, relative_text
from bioinstruct.analysis.reading import cells_from_rows, load_sweep
from bioinstruct.analysis.report import compare
from bioinstruct.analysis.terminal import terminal_summary
from bioinstruct.errors import UserError
from tests.analysis.analysis_fakes import grid_rows, write_sweep

FILES = {
    "cells.json", "comparison.csv", "comparison.html", "comparison.md", "comparison.tex",
    "effects.png", "effects.svg", "heatmap.png", "heatmap.svg",
}  # fmt: skip


def test_numbers_read_well_and_undefined_ones_are_a_dash() -> None:
    assert points(0.1234) == "12.3"
    assert points(-0.05, sign=True) == "−5.0"
    assert points(-0.0001, sign=True) == "0.0"
    assert interval_text(0.5, 0.25, 0.75) == "50.0 [25.0, 75.0]"
    assert interval_text(float("nan"), 0, 1) == "–"
    assert interval_text(0.5, float("nan"), 1) == "50.0 [no interval]"
    assert relative_text(None) == "–"
    assert relative_text(Ratio(0.48, 0.2, 0.83)) == "+48 % [+20, +83]"
    assert (p_text(0.0004), p_text(0.0312), p_text(float("nan"))) == ("< 0.001", "0.031", "–")


def test_a_complete_sweep_writes_every_file_and_the_same_bytes_again(tmp_path: Path) -> None:
    folder = write_sweep(grid_rows((0, 1), n=40), tmp_path)
    cells = load_sweep(folder, tmp_path / "train")
    comparison = compare(cells, output=folder, title="Sweep fake")
    assert {path.name for path in folder.iterdir()} == FILES
    assert comparison.report == str(folder / "comparison.html")
    first = {name: (folder / name).read_bytes() for name in FILES}
    compare(cells, output=folder, title="Sweep fake")
    assert {name: (folder / name).read_bytes() for name in FILES} == first


def test_the_page_stands_alone_and_escapes_what_users_wrote(tmp_path: Path) -> None:
    folder = write_sweep(grid_rows((0,), n=40), tmp_path, states={3: "failed"})
    cells = load_sweep(folder, tmp_path / "train")
    compare(cells, output=folder, title="<script>alert(1)</script>")
    page = (folder / "comparison.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "out of memory &lt;i&gt;&amp;" in page
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert "width=device-width" in page
    assert page.count("<img") == 2  # heat map and effects


def test_open_cells_are_shown_with_state_and_error_and_the_rest_is_compared(tmp_path: Path) -> None:
    folder = write_sweep(grid_rows((0, 1), n=40), tmp_path, states={1: "failed", 3: "waiting", 4: "running"})
    comparison = compare(load_sweep(folder, tmp_path / "train"), output=folder, title="t")
    assert [cell.state for cell in comparison.open_cells] == ["failed", "waiting", "running"]
    text = (folder / "comparison.md").read_text()
    assert "15 cells: 12 done, 1 failed, 1 waiting, 1 running" in text
    assert "RuntimeError: out of memory &lt;i&gt;&amp;" in text
    assert "| ie | waiting, running |" in text
    assert "1 of 2" in text
    assert "needs ie" in text


def test_a_sweep_in_which_nothing_finished_still_reports(tmp_path: Path) -> None:
    rows = grid_rows((0,), n=40)
    folder = write_sweep(rows, tmp_path, states=dict.fromkeys(range(len(rows)), "failed"))
    comparison = compare(load_sweep(folder, tmp_path / "train"), output=folder, title="t")
    assert "8 cells: 8 failed" in terminal_summary(comparison)
    assert (folder / "comparison.html").is_file()
    assert not (folder / "heatmap.png").exists()


def test_a_comparison_without_the_base_has_scores_and_no_gains() -> None:
    rows = [one for one in grid_rows((0,), n=40) if one["category"] != "none"]
    comparison = analyse(cells_from_rows(rows), title="t")
    assert comparison.results[0].family_gains == ()
    assert "qa_ie" in terminal_summary(comparison)


def test_one_seed_says_that_intervals_hold_items_only() -> None:
    one = terminal_summary(analyse(cells_from_rows(grid_rows((0,), n=40)), title="t"))
    assert "Item intervals only: one seed" in one
    two = terminal_summary(analyse(cells_from_rows(grid_rows((0, 1), n=40)), title="t"))
    assert "2 seeds (0, 1)" in two
    assert "Item intervals only" not in two


def test_the_terminal_shows_scores_gains_shades_and_n() -> None:
    text = terminal_summary(analyse(cells_from_rows(grid_rows((0,), n=40)), title="Sweep fake"))
    assert "2 tasks, n = 80" in text
    assert re.search(r"none +\d+\.\d \[\d+\.\d, \d+\.\d\]", text)
    assert re.search(r"\+\d+\.\d \[[+−]?\d+\.\d, \+\d+\.\d\] \(\+\d+ %\)", text)
    assert "████ +" in text


def test_every_metric_is_in_the_csv_with_interval_and_protocol(tmp_path: Path) -> None:
    folder = write_sweep(grid_rows((0,), n=40), tmp_path)
    compare(load_sweep(folder, tmp_path / "train"), output=folder, title="t")
    with (folder / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8 * 8
    assert all(row["low"] and row["high"] and row["n"] == "40" for row in rows)
    assert {row["protocol"] for row in rows} == {"alpaca", "lm_eval"}


def test_latex_has_balanced_tables_and_no_bare_specials(tmp_path: Path) -> None:
    folder = write_sweep(grid_rows((0,), n=40), tmp_path)
    compare(load_sweep(folder, tmp_path / "train"), output=folder, title="a_b & 50 %")
    text = (folder / "comparison.tex").read_text()
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == text.count(r"\end{table}") > 5
    body = [line for line in text.splitlines() if not line.startswith("%") and not line.endswith("{%")]
    assert not any(re.search(r"(?<!\\)[%_#]", line) for line in body)
    assert text.isascii() or not re.search("[−×–≥]", text)


def test_a_scaling_curve_is_drawn_where_several_sizes_exist(tmp_path: Path) -> None:
    rows = grid_rows((0,), n=40) + [one for one in grid_rows((0,), n=40, records=100) if one["category"] != "none"]
    folder = write_sweep(rows, tmp_path)
    compare(load_sweep(folder, tmp_path / "train"), output=folder, title="t")
    assert (folder / "scaling.svg").is_file()
    assert (folder / "heatmap_2.png").is_file()


@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_items_report_without_inventing_intervals(tmp_path: Path, n: int) -> None:
    folder = write_sweep(grid_rows((0, 1), n=n), tmp_path)
    comparison = compare(load_sweep(folder, tmp_path / "train"), output=folder, title="t")
    assert ("no interval" in terminal_summary(comparison)) == (n == 1)


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(UserError, match="nothing to compare"):
        analyse([], title="t")
