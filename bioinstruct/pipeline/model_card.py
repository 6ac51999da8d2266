"""The README.md of an exported model: metadata for the Hub, then data, settings, scores, use and limits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import yaml

from bioinstruct.config import TrainConfig
from bioinstruct.config.compose import category_label
from bioinstruct.config.schema import DataSource, LoraVariant
from bioinstruct.pipeline.results import flat_config
from bioinstruct.prompts import Template, render_prompt
from bioinstruct.runs import JsonValue, RunFolder, read_json

EXAMPLE_QUESTION = "Name one common side effect of metformin."
SETTINGS = ("model.", "lora.", "optim.", "data.max_length_tokens", "data.validation_fraction", "seed")
VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Values that vLLM's max_lora_rank takes (vllm/config/lora.py, `MaxLoRARanks`, version 0.11)."""

LIMITS = """\
For research on instruction tuning in the biomedical domain. **Not medical advice**, and not for any decision about a
patient: answers may be wrong, out of date or invented, and were not reviewed by clinicians. The scores above hold for
the named tasks, splits and protocols only; an answer in another prompt format may differ. Text that identifies
patients does not belong into a prompt of a model that others can read.

The licence of the base model and the licences of the training data both apply; this export adds no rights to them."""


@dataclass(frozen=True)
class MergeCheck:
    """How far the merged model's logits are from those of the model that was tuned, on a few prompts."""

    largest_change: float
    """Largest absolute change of a logit between the unquantised base with the adapter beside it and in it."""
    largest_change_of_tuned: float | None
    """The same against the quantised model that was tuned and scored; None where it was not quantised."""
    largest_logit: float
    """Largest absolute logit of the merged model, the scale of both changes."""
    num_positions: int
    num_same_token: int
    """Positions with the same most likely next token as the model that was tuned."""

    def __str__(self) -> str:
        text = f"largest logit change {self.largest_change:.2e}"
        if self.largest_change_of_tuned is not None:
            text += f" by the merge, {self.largest_change_of_tuned:.2e} against the quantised model that was tuned"
        text += f", of logits up to {self.largest_logit:.0f}"
        return f"{text}; same most likely token at {self.num_same_token} of {self.num_positions} positions"


@dataclass(frozen=True)
class CardNames:
    """What the model is called where the card is read."""

    base: str
    """Hub repository or folder of the base."""
    base_is_hub: bool
    here: str
    """Hub repository of this model, or the name of its folder."""


def make_model_card(
    config: TrainConfig, folder: RunFolder, names: CardNames, *, merged: MergeCheck | None = None
) -> str:
    """The card of a run's adapter or, with `merged`, of its standalone model."""
    state = read_json(folder.state_file)
    label = category_label(config.category)
    what = "merged into its base" if merged else "as an adapter"
    sections = [
        f"# {folder.run_id}",
        f"{config.model.name} tuned with LoRA on the category subset `{label}` of {config.data.name}, {what}.",
        "## Data",
        _data(config, state),
        "## Settings",
        _settings(config, state, names),
        "## Scores",
        _scores(folder),
        "## How to load",
        _loading(config, names, merged=merged is not None),
        "## Prompt",
        _prompt(config.template),
    ]
    if merged:
        sections += ["## Merge", _merge(config, merged)]
    sections += ["## Intended use and limits", LIMITS]
    return f"---\n{_front_matter(config, names, merged=merged is not None)}---\n\n" + "\n\n".join(sections) + "\n"


def _front_matter(config: TrainConfig, names: CardNames, *, merged: bool) -> str:
    """Metadata as the Hub checks it (huggingface.co/docs/hub/model-cards): names of Hub repositories only."""
    base = {"base_model": names.base, "base_model_relation": "finetune" if merged else "adapter"}
    hub_data = config.data.source is DataSource.hub
    metadata = {
        **(base if names.base_is_hub else {}),
        "library_name": "transformers" if merged else "peft",
        "pipeline_tag": "text-generation",
        "license": "other",
        "license_name": "base-model-and-training-data",
        "language": ["en"],
        **({"datasets": [config.data.path]} if hub_data else {}),
        "tags": ["lora", "biology", "medical", "instruction-tuning", "bioinstruct"],
    }
    text: str = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)
    return text


def _data(config: TrainConfig, state: Mapping[str, JsonValue]) -> str:
    data = config.data
    source = {
        DataSource.hub: f"{data.path}, file {data.file}, commit {data.revision}",
        DataSource.file: f"file {Path(str(data.path)).name}, not published with this model",
        DataSource.tiny: "invented records, made by bioinstruct",
    }[data.source]
    training = cast(dict[str, JsonValue], state["training"])
    counts = cast(dict[str, int], training["records_per_category"])
    facts = {
        "source": f"{data.name}: {source}",
        "content hash (sha256)": f"`{state.get('data_hash') or 'not recorded'}`",
        "label hash (sha256)": f"`{state['label_hash']}`" if state.get("label_hash") else "labels are in the data",
        "training records": f"{training['num_records']:,}",
        "records held out for validation": f"{training['num_validation_records']:,}",
        "tokens of one epoch": f"{training['num_tokens']:,}, of which {training['num_response_tokens']:,} in responses",
        "responses cut / records dropped": f"{training['num_cut']:,} / {training['num_dropped']:,}",
    }
    categories = _table(("category", "records"), [(name, f"{count:,}") for name, count in counts.items()])
    return _table(("", ""), list(facts.items())) + "\n\n" + categories


def _settings(config: TrainConfig, state: Mapping[str, JsonValue], names: CardNames) -> str:
    training = cast(dict[str, JsonValue], state["training"])
    rows = [("base model", names.base if names.base_is_hub else f"local folder {Path(names.base).name}")]
    rows += [
        (f"`{key}`", _plain(value))
        for key, value in flat_config(config).items()
        if key.startswith(SETTINGS) and key != "model.path" and value is not None
    ]
    packages = cast(dict[str, str], state["packages"])
    versions = ", ".join(f"{name} {number}" for name, number in packages.items())
    rows += [("optimizer steps", str(training["num_steps"])), ("run with", versions)]
    return _table(("setting", "value"), rows)


def _plain(value: JsonValue) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _scores(folder: RunFolder) -> str:
    results = read_json(folder.results_file) if folder.results_file.is_file() else {}
    scores = cast(list[dict[str, JsonValue]], results.get("scores", []))
    if not scores:
        return "This run has not been scored."
    rows = []
    for score in scores:
        headline = str(score["headline"])
        estimate = cast(dict[str, dict[str, float]], score["metrics"])[headline]
        rows.append(
            (
                f"{score['task']} ({score['split']})",
                f"{score['protocol']} `{score['protocol_hash']}`",
                headline,
                f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]",
                str(score["n"]),
                f"{100 * float(str(score['parse_failure_rate'])):.1f} %",
            )
        )
    table = _table(("task", "protocol", "metric", "value [95 % interval]", "items", "parse failures"), rows)
    return f"{table}\n\nThe protocol's hash covers every prompt; only scores of one hash can be compared."


def _loading(config: TrainConfig, names: CardNames, *, merged: bool) -> str:
    load = "AutoModelForCausalLM" if merged else "AutoPeftModelForCausalLM"
    imports = (
        "from transformers import AutoModelForCausalLM, AutoTokenizer"
        if merged
        else "from peft import AutoPeftModelForCausalLM; from transformers import AutoTokenizer"
    )
    tokenizer = json.dumps(names.here if merged else names.base)
    revision = f", revision={config.model.revision!r}" if config.model.revision and not merged else ""
    prompt = render_prompt(config.template, instruction=EXAMPLE_QUESTION)
    python = f"""\
{imports}
model = {load}.from_pretrained({json.dumps(names.here)}, dtype="{config.model.dtype.value}")
tokenizer = AutoTokenizer.from_pretrained({tokenizer}{revision})
inputs = tokenizer({json.dumps(prompt, ensure_ascii=False)}, return_tensors="pt")
output = model.generate(**inputs, max_new_tokens=128, do_sample=False, use_cache=True)
print(tokenizer.decode(output[0, inputs.input_ids.shape[1]:], skip_special_tokens=True))"""
    return f"```python\n{python}\n```\n\n{_vllm(config, names, merged=merged)}"


def _vllm(config: TrainConfig, names: CardNames, *, merged: bool) -> str:
    if merged:
        return f"With vLLM: `vllm serve {names.here}`."
    if config.lora.variant is LoraVariant.dora:
        return "vLLM takes no DoRA adapters; export with `merge=true` for it."
    rank = next((rank for rank in VLLM_RANKS if rank >= config.lora.rank), None)
    if rank is None:
        return f"vLLM takes no adapters above rank {VLLM_RANKS[-1]}; export with `merge=true` for it."
    return (
        f"With vLLM: `vllm serve {names.base} --enable-lora --max-lora-rank {rank} "
        f"--lora-modules {names.here.rsplit('/', 1)[-1]}={names.here}`."
    )


def _prompt(template: Template) -> str:
    stop = ", ".join(f"`{json.dumps(text)}`" for text in template.stop) or "none"
    return (
        "The model was tuned on this text and has no chat template: ask it through completions, not chats. "
        "The answer begins where the text ends.\n\n"
        f"With an input:\n\n```\n{template.with_input}```\n\nWithout:\n\n```\n{template.without_input}```\n\n"
        f"Texts that end an answer besides EOS: {stop}."
    )


def _merge(config: TrainConfig, check: MergeCheck) -> str:
    lines = [f"Held against the adapter on its base, on a few prompts: {check}."]
    if check.largest_change_of_tuned is not None:
        lines.insert(
            0,
            f"The adapter was tuned on a base in {config.model.quantization.value}. It was never merged into those "
            f"weights: the base was loaded unquantised in {config.model.dtype.value} for the merge, so that this model "
            "is not exactly the one that was tuned and scored.",
        )
    return "\n\n".join(lines)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
