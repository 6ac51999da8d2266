"""bioinstruct-compare: tables, tests and figures over the cells of a sweep, or over named runs."""

from __future__ import annotations

from pathlib import Path

import hydra
from omegaconf import DictConfig

from bioinstruct.command import log_to_console, run_hydra, user_errors


@hydra.main(version_base="1.3", config_path="pkg://bioinstruct.conf", config_name="compare")
def compare(config: DictConfig) -> None:
    """Writes the report and prints its summary."""
    with user_errors():
        from bioinstruct.config import CompareConfig, typed_config

        typed = typed_config(config, CompareConfig)
        log_to_console()
        from bioinstruct.analysis import compare as write_report
        from bioinstruct.analysis import load_runs, load_sweep, terminal_summary

        runs_root = Path(typed.output_root) / "train"
        if typed.folder:
            output = Path(typed.output or typed.folder)
            cells, title = load_sweep(Path(typed.folder), runs_root), Path(typed.folder).resolve().name
        else:
            title = "-".join(run.rsplit("-", 1)[-1] for run in typed.runs)
            output = Path(typed.output or Path(typed.output_root) / "comparisons" / title)
            cells = load_runs(typed.runs, runs_root)
        print(terminal_summary(write_report(cells, output=output, title=title)))


def main() -> None:
    run_hydra(compare)


if __name__ == "__main__":
    main()
