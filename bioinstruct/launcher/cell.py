"""Runs one cell from its config file, without Hydra: python -m bioinstruct.launcher.cell <cell.yaml>.

A cell on several devices turns into torchrun, which starts this module once per rank.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from bioinstruct.command import log_to_console, user_errors
from bioinstruct.config import load_train_config
from bioinstruct.launcher.lineage import PARENT_VARIABLE, end_with_parent


def cell_command(config_file: Path) -> list[str]:
    """The fresh process of one cell."""
    return [sys.executable, "-m", "bioinstruct.launcher.cell", str(config_file)]


def torchrun_command(config_file: Path, *, num_devices: int) -> list[str]:
    """The command that starts a cell once per rank on this node, on a free port."""
    ranks = ["--standalone", f"--nproc-per-node={num_devices}"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", *ranks]
    return [*torchrun, "-m", "bioinstruct.launcher.cell", str(config_file)]


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m bioinstruct.launcher.cell <cell.yaml>")
    config_file = Path(sys.argv[1])
    is_rank = "LOCAL_RANK" in os.environ
    # torchrun hands a SIGTERM on to its ranks and waits for them; ranks without torchrun have nobody to wait.
    end_with_parent(os.environ.get(PARENT_VARIABLE), signal.SIGKILL if is_rank else signal.SIGTERM)
    with user_errors():
        config = load_train_config(config_file)
        if config.trainer.devices > 1 and not is_rank:
            os.environ[PARENT_VARIABLE] = str(os.getpid())
            command = torchrun_command(config_file, num_devices=config.trainer.devices)
            os.execv(command[0], command)
        log_to_console()
        from bioinstruct import pipeline

        pipeline.run_cell(config)


if __name__ == "__main__":
    main()
