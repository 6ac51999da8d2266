"""From run folders to an answer: which categories of instructions help which family of tasks."""

from __future__ import annotations

from bioinstruct.analysis.cells import Cell
from bioinstruct.analysis.comparison import Comparison, analyse
from bioinstruct.analysis.frame import comparison_frame
from bioinstruct.analysis.reading import cells_from_rows, load_runs, load_sweep
from bioinstruct.analysis.report import compare
from bioinstruct.analysis.terminal import terminal_summary

__all__ = [
    "Cell",
    "Comparison",
    "analyse",
    "cells_from_rows",
    "compare",
    "comparison_frame",
    "load_runs",
    "load_sweep",
    "terminal_summary",
]
