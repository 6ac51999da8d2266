"""Plans cells in a process of its own: python -m bioinstruct.launcher.describe <answer.json> <cell.yaml> …"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from bioinstruct.command import log_to_console
from bioinstruct.config import load_train_config
from bioinstruct.errors import PrerequisiteError, UserError
from bioinstruct.launcher.cells import CellPlan, plan_to_json
from bioinstruct.launcher.lineage import PARENT_VARIABLE, end_with_parent
from bioinstruct.runs import write_json


def describe(config_file: Path) -> dict[str, str | int]:
    """The plan of one cell, or its error."""
    from bioinstruct import pipeline

    try:
        found = pipeline.describe_cell(load_train_config(config_file))
    except (UserError, PrerequisiteError) as error:
        return {"error": str(error)}
    return plan_to_json(
        CellPlan(
            run_id=found.run_id,
            state=found.state,
            num_tokens=found.num_tokens,
            num_steps=found.num_steps,
            folder=found.folder,
        )
    )


def main() -> None:
    end_with_parent(os.environ.get(PARENT_VARIABLE), signal.SIGTERM)
    log_to_console()
    answer, *config_files = map(Path, sys.argv[1:])
    write_json(answer, {"plans": [describe(file) for file in config_files]})


if __name__ == "__main__":
    main()
