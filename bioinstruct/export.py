"""bioinstruct-export: a tuned run as a PEFT adapter with a model card, as a merged model, or on the Hub."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from bioinstruct.command import log_to_console, run_hydra, user_errors


@hydra.main(version_base="1.3", config_path="pkg://bioinstruct.conf", config_name="export")
def export(config: DictConfig) -> None:
    """Writes the folders and prints where they are."""
    with user_errors():
        from bioinstruct.config import typed_config
        from bioinstruct.config.export import ExportConfig

        typed = typed_config(config, ExportConfig)
        log_to_console()
        from bioinstruct.pipeline.exporting import export_run

        for folder in export_run(typed):
            print(folder)


def main() -> None:
    run_hydra(export)


if __name__ == "__main__":
    main()
