"""Plans cells in a process of its own: python -m bioinstruct.launcher.describe <answer.json> <cell.yaml> …"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from bioinstruct.command import log_to_console
from bioinstruct.config import TrainConfig, load_train_config
from bioinstruct.errors import PrerequisiteError, UserError
from bioinstruct.launcher.cells import CellPlan, plan_to_json
from bioinstruct.launcher.lineage import PARENT_VARIABLE, end_with_parent
from bioinstruct.runs import write_json


def describe(config_file: Path) -> dict[str, str | int | None]:
    """The plan of one cell, or its error."""
    from bioinstruct import pipeline

    try:
        config = load_train_config(config_file)
        found = pipeline.describe_cell(config)
        memory_bytes = predicted_memory(config) if found.num_steps else None
    except (UserError, PrerequisiteError) as error:
        return {"error": str(error)}
    return plan_to_json(
        CellPlan(
            run_id=found.run_id,
            state=found.state,
            num_tokens=found.num_tokens,
            num_steps=found.num_steps,
            folder=found.folder,
            memory_bytes=memory_bytes,
        )
    )


def predicted_memory(config: TrainConfig) -> int | None:
    """Predicted peak memory of a training step, bytes; None where the model's shape cannot be had."""
    from bioinstruct.pipeline.planning import cell_footprint, model_shape

    try:
        shape = model_shape(config)
    except PrerequisiteError:
        return None
    return int(cell_footprint(config, shape, recompute=config.trainer.recompute).total)


def main() -> None:
    end_with_parent(os.environ.get(PARENT_VARIABLE), signal.SIGTERM)
    log_to_console()
    answer, *config_files = map(Path, sys.argv[1:])
    write_json(answer, {"plans": [describe(file) for file in config_files]})


if __name__ == "__main__":
    main()
