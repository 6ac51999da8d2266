"""The configuration of generate, categorize and describe composes, and wrong values are refused with their key."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import pytest
from hydra import compose, initialize_config_module

from bioinstruct.building.checks import check_categorize, check_generate
from bioinstruct.building.estimate import estimate_generation
from bioinstruct.building.seeds import load_seeds
from bioinstruct.config import register_schemas, typed_config
from bioinstruct.config.building import CategorizeConfig, DescribeConfig, GenerateConfig
from bioinstruct.errors import UserError
from bioinstruct.llm.budget import Price

CONF = Path(__file__).resolve().parents[2] / "conf"
Schema = TypeVar("Schema")


def load(command: str, schema: type[Schema], *overrides: str) -> Schema:
    register_schemas()
    with initialize_config_module("bioinstruct.conf", version_base="1.3"):
        return typed_config(compose(command, list(overrides)), schema)


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize("llm", ["gpt_4_0613", "gpt_4_1", "local"])
@pytest.mark.parametrize("filters", ["alpaca", "biomedical"])
def test_every_endpoint_and_profile_composes_for_generate(llm: str, filters: str) -> None:
    config = load("generate", GenerateConfig, "num_records=5", f"llm={llm}", f"filters={filters}", "prompt=numbered")
    check_generate(config)
    assert config.llm.model in config.prices.models
    assert config.filters.name == filters


def test_the_options_are_those_under_test() -> None:
    assert options("llm") == ["gpt_4_0613", "gpt_4_1", "local"]
    assert options("filters") == ["alpaca", "biomedical"]
    assert options("prompt") == ["numbered", "structured"]


def test_categorize_and_describe_compose() -> None:
    categorize = load("categorize", CategorizeConfig, "input=x.json")
    check_categorize(categorize)
    assert (categorize.llm.temperature, categorize.hub.file) == (0.0, "biomed_instruct_25k.json")
    assert load("describe", DescribeConfig, "input=x.json", "export=[json,hub]").license == "unknown"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("num_records=0", "num_records=0 is out of range; allowed: >= 1"),
        ("name=../x", "name='../x' is not a name"),
        ("budget.max_usd=-1", r"budget\.max_usd=-1\.0 is out of range"),
        ("llm.top_p=0", r"llm\.top_p=0\.0 is out of range; allowed: > 0"),
        ("filters.max_rouge_l=7", r"filters\.max_rouge_l=7\.0 is out of range"),
        ("llm.model=gpt-4-0613", "has no structured output; write prompt=numbered"),
        ("prompt.user=x", r"prompt\.user must hold \{num_tasks\}"),
        ("llm.api_key_env=sk-1234", r"llm\.api_key_env must be the name of an environment variable"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_key(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        check_generate(
            load(
                "generate", GenerateConfig, *{"num_records": "num_records=5", override.split("=")[0]: override}.values()
            )
        )
    assert "sk-1234" not in str(caught.value)


def test_the_estimate_grows_with_the_records_and_is_below_the_worst_case() -> None:
    price, seeds = Price(2.0, 8.0), load_seeds(None, num_examples=3)
    small, large = (
        estimate_generation(load("generate", GenerateConfig, f"num_records={n}"), seeds, price=price)
        for n in (140, 1400)
    )
    # 20 tasks a request of which 14 are expected to be kept.
    assert (small.num_requests, large.num_requests) == (10, 100)
    assert 0 < small.likely_usd < small.worst_usd < large.worst_usd
