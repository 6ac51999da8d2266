"""What a generation will probably cost, before anything is sent."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from bioinstruct.building.prompting import make_requests
from bioinstruct.building.seeds import Seed
from bioinstruct.config.building import GenerateConfig
from bioinstruct.llm.budget import NANO, Price, estimate_prompt_tokens

TOKENS_PER_TASK = 115
"""BioInstruct's records have 70 words, about 95 tokens, in their three fields; the rest is JSON [C]."""

EXPECTED_YIELD = 0.7
"""Share of the tasks asked for that is delivered and kept [C]; falls as the dataset grows."""

NUM_SAMPLED = 50
"""Requests whose prompts are built to estimate their length."""


@dataclass(frozen=True)
class Estimate:
    """Likely requests, tokens and cost in dollars."""

    num_requests: int
    prompt_tokens: int
    completion_tokens: int
    likely_usd: float
    worst_usd: float
    """If every answer had max_tokens and every character of the prompt were a token."""


def estimate_generation(config: GenerateConfig, seeds: Sequence[Seed], *, price: Price) -> Estimate:
    """The likely cost of a dataset of `num_records`, from nothing."""
    num_tasks = config.prompt.num_tasks
    num_requests = math.ceil(config.num_records / (num_tasks * EXPECTED_YIELD))
    requests = make_requests(seeds, prompt=config.prompt, llm=config.llm, seed=config.seed)
    sampled = list(itertools.islice(requests, NUM_SAMPLED))
    prompt_tokens = sum(map(estimate_prompt_tokens, sampled)) * num_requests // len(sampled)
    completion_tokens = min(config.llm.max_tokens, TOKENS_PER_TASK * num_tasks) * num_requests
    worst = sum(map(price.worst_cost, sampled)) * num_requests / len(sampled)
    likely = price.cost(prompt_tokens, completion_tokens)
    return Estimate(num_requests, prompt_tokens, completion_tokens, likely / NANO, worst / NANO)
