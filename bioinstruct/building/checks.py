"""Ranges of the configuration of generate, categorize and describe; every message names key and value."""

from __future__ import annotations

import re

from bioinstruct.building.prompting import check_prompt
from bioinstruct.config.building import (
    AnswerFormat,
    BudgetConfig,
    CategorizeConfig,
    FiltersConfig,
    GenerateConfig,
    LlmConfig,
)
from bioinstruct.config.checks import in_range
from bioinstruct.errors import UserError
from bioinstruct.runs import check_name

NO_STRUCTURED_OUTPUT = ("gpt-4-0613", "gpt-4-0314", "gpt-3.5-turbo", "gpt-4-turbo")
"""Beginnings of OpenAI models without JSON schemas (platform.openai.com/docs/guides/structured-outputs)."""

VARIABLE_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
"""A key pasted in the place of a name does not look like this, and is not repeated in the message."""


def check_generate(config: GenerateConfig) -> None:
    """Raises UserError for the first value out of range."""
    check_name(config.name, key="name")
    in_range("num_records", config.num_records, low=1)
    in_range("patience_requests", config.patience_requests, low=1)
    in_range("prompt.num_examples", config.prompt.num_examples, low=1)
    in_range("prompt.num_tasks", config.prompt.num_tasks, low=1)
    check_prompt(config.prompt)
    check_llm(config.llm)
    check_budget(config.budget)
    check_filters(config.filters)
    if config.prompt.format is AnswerFormat.json_schema and config.llm.model.startswith(NO_STRUCTURED_OUTPUT):
        raise UserError(f"llm.model={config.llm.model!r} has no structured output; write prompt=numbered")


def check_llm(llm: LlmConfig) -> None:
    """Raises UserError for an endpoint's value out of range."""
    if not VARIABLE_NAME.fullmatch(llm.api_key_env):
        raise UserError("llm.api_key_env must be the name of an environment variable, such as OPENAI_API_KEY")
    in_range("llm.temperature", llm.temperature, low=0, high=2)
    in_range("llm.top_p", llm.top_p, above=0, high=1)
    for key in ("max_tokens", "concurrency", "max_attempts"):
        in_range(f"llm.{key}", getattr(llm, key), low=1)
    for key in ("requests_per_minute", "tokens_per_minute", "timeout_seconds", "batch_poll_seconds"):
        in_range(f"llm.{key}", getattr(llm, key), above=0)
    in_range("llm.backoff_seconds", llm.backoff_seconds, low=0)
    in_range("llm.max_wait_seconds", llm.max_wait_seconds, low=0)


def check_budget(budget: BudgetConfig) -> None:
    """Raises UserError for a negative cap."""
    in_range("budget.max_usd", budget.max_usd, low=0)


def check_filters(filters: FiltersConfig) -> None:
    """Raises UserError for limits that nothing, or everything, would pass."""
    in_range("filters.min_words", filters.min_words, low=1, high=filters.max_words)
    in_range("filters.max_rouge_l", filters.max_rouge_l, above=0, high=1)


def check_categorize(config: CategorizeConfig) -> None:
    """Raises UserError for the first value out of range."""
    if config.name is not None:
        check_name(config.name, key="name")
    in_range("limit", config.limit, low=1)
    check_llm(config.llm)
    check_budget(config.budget)
    for placeholder in ("{instruction}", "{input}", "{output}"):
        if placeholder not in config.instruct.user:
            raise UserError(f"instruct.user must hold {placeholder}; it begins {config.instruct.user[:60]!r}")
