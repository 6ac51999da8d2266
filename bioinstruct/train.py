"""bioinstruct-train: tune one cell of the study and evaluate it; with -m, a grid of cells."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from bioinstruct.command import (
    log_to_console,
    refuse_sweep_without_multirun,
    run_hydra,
    sweep_name_of_multirun,
    user_errors,
)


@hydra.main(version_base="1.3", config_path="pkg://bioinstruct.conf", config_name="train")
def train(config: DictConfig) -> None:
    """One cell in this process (gpu_pool starts one process per cell and does not come here)."""
    with user_errors():
        refuse_sweep_without_multirun()
        from bioinstruct.config import TrainConfig, typed_config

        typed = typed_config(config, TrainConfig)
        typed.sweep_name = sweep_name_of_multirun() or typed.sweep_name
        log_to_console()
        from bioinstruct import pipeline

        (pipeline.show_plan if typed.dry_run else pipeline.run_cell)(typed)


def main() -> None:
    run_hydra(train)


if __name__ == "__main__":
    main()
