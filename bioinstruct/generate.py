"""bioinstruct-generate: an instruction dataset from seeds, through any OpenAI-compatible endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from omegaconf import DictConfig

from bioinstruct.command import log_to_console, run_hydra, user_errors
from bioinstruct.config.building import GenerateConfig

if TYPE_CHECKING:
    from bioinstruct.building.seeds import Seed


@hydra.main(version_base="1.3", config_path="pkg://bioinstruct.conf", config_name="generate")
def generate(config: DictConfig) -> None:
    """Generates, or with dry_run=true prints the likely cost."""
    with user_errors():
        from bioinstruct.building.checks import check_generate
        from bioinstruct.building.seeds import load_seeds
        from bioinstruct.config import typed_config

        typed = typed_config(config, GenerateConfig)
        check_generate(typed)
        log_to_console()
        seeds = load_seeds(Path(typed.seed_path) if typed.seed_path else None, num_examples=typed.prompt.num_examples)
        if typed.dry_run:
            _print_estimate(typed, seeds)
        else:
            _generate(typed, seeds)


def _print_estimate(config: GenerateConfig, seeds: list[Seed]) -> None:
    from bioinstruct.building.estimate import estimate_generation
    from bioinstruct.llm.sending import model_price

    price = model_price(config.llm, config.prices, capped=config.budget.max_usd is not None)
    estimate = estimate_generation(config, seeds, price=price)
    print(f"{config.num_records} records from {len(seeds)} seeds with {config.llm.model} ({config.llm.mode.value})")
    print(f"about {estimate.num_requests} requests of {config.prompt.num_tasks} tasks")
    print(f"about {estimate.prompt_tokens:,} prompt and {estimate.completion_tokens:,} answer tokens")
    print(
        f"about {estimate.likely_usd:.2f} dollars (prices of {config.prices.as_of}), "
        f"at most {estimate.worst_usd:.2f} for as many requests"
    )
    if config.budget.max_usd is None:
        print("no cap: set budget.max_usd")
    elif estimate.likely_usd > config.budget.max_usd:
        print(f"budget.max_usd={config.budget.max_usd:g} will probably end the run before it is complete")
    print("dry run: nothing was sent")


def _generate(config: GenerateConfig, seeds: list[Seed]) -> None:
    from bioinstruct.building.loop import RECORDS_FILE
    from bioinstruct.building.loop import generate as generate_dataset
    from bioinstruct.config import save_config
    from bioinstruct.llm.budget import NANO
    from bioinstruct.llm.sending import Sender
    from bioinstruct.llm_client import OpenAiClient

    folder = Path(config.output_root) / "datasets" / config.name
    sender = Sender(config.llm, config.prices, OpenAiClient(config.llm))
    save_config(config, folder / "config.yaml")
    outcome = generate_dataset(config, seeds, folder=folder, sender=sender)
    print(
        f"{len(outcome.tally.kept)} records from {outcome.tally.num_requests} answers "
        f"({outcome.tally.num_rejected} rejected), {outcome.spent / NANO:.4f} dollars spent: "
        f"{folder / RECORDS_FILE}"
    )


def main() -> None:
    run_hydra(generate)


if __name__ == "__main__":
    main()
