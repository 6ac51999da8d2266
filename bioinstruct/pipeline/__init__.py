"""The jobs of the study, each as one page: the only package that sees the whole configuration."""

from __future__ import annotations

from bioinstruct.pipeline.cell import run_cell
from bioinstruct.pipeline.evaluation import evaluate_from_config
from bioinstruct.pipeline.identity import CellPlan, describe_cell
from bioinstruct.pipeline.planning import show_plan

__all__ = ["CellPlan", "describe_cell", "evaluate_from_config", "run_cell", "show_plan"]
