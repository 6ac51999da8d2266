"""bioinstruct-evaluate: score a tuned run, every cell of a sweep, or an untuned model on a task suite."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from bioinstruct.command import log_to_console, run_hydra, user_errors


@hydra.main(version_base="1.3", config_path="pkg://bioinstruct.conf", config_name="evaluate")
def evaluate(config: DictConfig) -> None:
    """Scores what is missing and prints where the results are."""
    with user_errors():
        from bioinstruct.config import EvaluateConfig, typed_config

        typed = typed_config(config, EvaluateConfig)
        log_to_console()
        from bioinstruct import pipeline

        for folder in pipeline.evaluate_from_config(typed):
            print(folder.results_file)


def main() -> None:
    run_hydra(evaluate)


if __name__ == "__main__":
    main()
