"""The typed schema of the commands generate, categorize and describe: a dataclass per configuration group."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from omegaconf import MISSING

from bioinstruct.config.schema import DataConfig


class Boundary(Enum):
    """How a pair whose ROUGE-L is exactly the threshold is decided."""

    rouge_score = "rouge_score"
    """As rouge-score's floating point formula happens to round: some pairs at exactly 0.7 count as above."""
    exact = "exact"
    """In integers: at 0.7, a pair is too similar if 20 LCS > 7 (m + n)."""


@dataclass
class FiltersConfig:
    """Which generated items are kept."""

    name: str = MISSING
    """Label of the profile."""
    rules: list[str] = MISSING
    """Names of the rules (bioinstruct.building.filters.RULES), in the order in which reasons are written."""
    min_words: int = 4
    """Fewest words of an instruction; Alpaca drops 3 and fewer."""
    max_words: int = 150
    """Most words of an instruction; Alpaca drops more."""
    words: list[str] = field(default_factory=list)
    """Words that rule `word_list` does not allow in an instruction."""
    max_rouge_l: float = 0.7
    """ROUGE-L F1 above which an instruction is too similar to a seed or to one kept before, in (0, 1]."""
    boundary: Boundary = Boundary.rouge_score
    guard_details: bool = False
    """Whether instructions that differ in Greek letters, comparators or numbers are never too similar."""


class LlmMode(Enum):
    pool = "pool"
    """Many requests at once, answers within seconds."""
    batch = "batch"
    """OpenAI's Batch API: half the price, answers within a day."""


class MaxTokensField(Enum):
    max_tokens = "max_tokens"
    max_completion_tokens = "max_completion_tokens"


@dataclass
class LlmConfig:
    """An OpenAI-compatible endpoint and how it is used."""

    model: str = MISSING
    """The model's name at the endpoint, with its date where there is one."""
    base_url: str = "https://api.openai.com/v1"
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; the key itself stands in no file and no log."""
    mode: LlmMode = LlmMode.pool
    temperature: float = 1.0
    """Sampling temperature in [0, 2]; Alpaca's 1.0."""
    top_p: float = 1.0
    """Nucleus of sampling, in (0, 1]."""
    max_tokens: int = 3072
    """Most tokens of one answer; Alpaca's 3,072."""
    max_tokens_field: MaxTokensField = MaxTokensField.max_tokens
    """The field that carries it: OpenAI's newer models know max_completion_tokens only."""
    concurrency: int = 8
    """Requests under way at once."""
    requests_per_minute: float | None = None
    """Limit on top of the endpoint's own, which is learnt from its headers; null for none."""
    tokens_per_minute: float | None = None
    timeout_seconds: float = 120.0
    """Longest wait for one answer."""
    max_attempts: int = 8
    """Attempts per request before the command stops (it goes on from there when run again)."""
    backoff_seconds: float = 1.0
    """Wait before the second attempt; doubles with each, with jitter."""
    max_wait_seconds: float = 120.0
    """Longest wait between two attempts; an endpoint that asks for more is given up."""
    batch_poll_seconds: float = 30.0
    """Time between two looks at a batch."""


@dataclass
class PriceConfig:
    """Dollars per million tokens of one model."""

    input_usd: float = MISSING
    output_usd: float = MISSING


@dataclass
class PricesConfig:
    """The price table."""

    as_of: str = MISSING
    """The day on which the prices were read."""
    batch_discount: float = 0.5
    """Share of the price that the Batch API charges, in (0, 1]."""
    models: dict[str, PriceConfig] = MISSING


@dataclass
class BudgetConfig:
    """What a command may spend, over all its runs on the same log."""

    max_usd: float | None = None
    """Hard cap in dollars: a request that could exceed it is not sent; null for none."""


class AnswerFormat(Enum):
    json_schema = "json_schema"
    """Structured output: the endpoint enforces the schema."""
    numbered = "numbered"
    """Alpaca's text blocks, for endpoints without structured output."""


@dataclass
class PromptConfig:
    """What a request says."""

    name: str = MISSING
    format: AnswerFormat = MISSING
    num_examples: int = 3
    """Seeds shown in each request, drawn at random from the seeds only."""
    num_tasks: int = 20
    """New tasks asked for in each request; Alpaca's 20."""
    system: str = ""
    user: str = MISSING
    """Holds {num_tasks} and {examples}."""


@dataclass
class GenerateConfig:
    """bioinstruct-generate."""

    name: str = MISSING
    """Name of the dataset: its folder below <output_root>/datasets."""
    num_records: int = MISSING
    """Records to keep; asking for more later goes on where the dataset ends."""
    seed_path: str | None = None
    """JSON Lines of {instruction, input, output, category}; null for the 80 that ship with the package."""
    llm: LlmConfig = field(default_factory=LlmConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    filters: FiltersConfig = field(default_factory=FiltersConfig)
    prices: PricesConfig = field(default_factory=PricesConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    seed: int = 0
    """Decides which seeds each request shows."""
    patience_requests: int = 50
    """Requests in a row without a kept record after which the command stops."""
    dry_run: bool = False
    """Print the likely cost, send nothing."""
    data_root: str = MISSING
    output_root: str = MISSING


@dataclass
class CategorizeLlmPrompt:
    """What a categorising request says."""

    system: str = MISSING
    user: str = MISSING
    """Holds {instruction}, {input} and {output}."""


class LabelBackend(Enum):
    offline = "offline"
    llm = "llm"


@dataclass
class CategorizeConfig:
    """bioinstruct-categorize."""

    input: str = MISSING
    """Records to label: a JSON, JSON Lines or Parquet file, or the word `hub` for the published 25,005."""
    hub: DataConfig = field(default_factory=DataConfig)
    """What input=hub means."""
    name: str | None = None
    """Name of the label file below <output_root>/labels; null takes the input's name and the backend."""
    backend: LabelBackend = LabelBackend.offline
    reference: str | None = None
    """JSON Lines of labels to compare with; null for none."""
    reference_field: str = "category"
    limit: int | None = None
    """Label the first records only; null for all."""
    instruct: CategorizeLlmPrompt = field(default_factory=CategorizeLlmPrompt)
    llm: LlmConfig = field(default_factory=LlmConfig)
    prices: PricesConfig = field(default_factory=PricesConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    dry_run: bool = False
    """Print the likely cost of backend=llm, send nothing."""
    data_root: str = MISSING
    output_root: str = MISSING


class ExportFormat(Enum):
    json = "json"
    jsonl = "jsonl"
    parquet = "parquet"
    hub = "hub"


@dataclass
class DescribeConfig:
    """bioinstruct-describe."""

    input: str = MISSING
    """Records or seeds: a JSON, JSON Lines or Parquet file."""
    labels: str | None = None
    """JSON Lines of {record, <label_field>}; null takes the records' own categories, if any."""
    label_field: str = "category"
    tokenizer: str | None = None
    """Tokenizer to count tokens with: a folder or a Hub id; null counts words only."""
    name: str | None = None
    """Name of the folder below <output_root>/datasheets; null takes the input's name."""
    title: str | None = None
    """Title of the datasheet; null takes the name."""
    license: str = "unknown"
    """Licence named in the dataset card."""
    export: list[ExportFormat] = field(default_factory=list)
    """Formats to write the records in, beside the datasheet: json, jsonl, parquet, hub."""
    data_root: str = MISSING
    output_root: str = MISSING
