"""bioinstruct: which categories of biomedical instructions help which tasks?

The names below are loaded at first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bioinstruct.analysis import compare, comparison_frame, load_runs, load_sweep
    from bioinstruct.notebook import load_run, task_items
    from bioinstruct.records import read_records
    from bioinstruct.scoring import evaluate

_HOMES = {
    "compare": "bioinstruct.analysis",
    "comparison_frame": "bioinstruct.analysis",
    "evaluate": "bioinstruct.scoring",
    "load_run": "bioinstruct.notebook",
    "load_runs": "bioinstruct.analysis",
    "load_sweep": "bioinstruct.analysis",
    "read_records": "bioinstruct.records",
    "task_items": "bioinstruct.notebook",
}

__all__ = [
    "compare",
    "comparison_frame",
    "evaluate",
    "load_run",
    "load_runs",
    "load_sweep",
    "read_records",
    "task_items",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'bioinstruct' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)
