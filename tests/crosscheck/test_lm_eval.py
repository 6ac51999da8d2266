"""Scores of lm-evaluation-harness 0.4.13 and ours: same model, same original files, same choice on every item.

The harness runs its own task definitions, prompts included, over the records in their Hub layout; only where the
data come from is replaced. BIOINSTRUCT_LM_EVAL_PYTHON names the Python in which
experiments/benchmarks/requirements-lm-eval.txt is installed.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypedDict

import pytest
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from bioinstruct.generation import HfBackend
from bioinstruct.metrics.choice import argmax_choices
from bioinstruct.prompts import Template
from bioinstruct.tasks import get_task
from bioinstruct.tasks.base import Item, LogLikelihood
from tests.word_llama import word_llama, word_tokenizer

pytestmark = pytest.mark.crosscheck

WORKER = Path(__file__).parents[2] / "experiments/benchmarks/lm_eval_worker.py"
MAX_LENGTH_TOKENS = 256  # many PubMedQA abstracts are longer: the cut is compared too
TOLERANCE = 1e-4
NO_TEMPLATE = Template(name="none", with_input="{instruction}{input}", without_input="{instruction}")

HARNESS_FILES = {
    "medqa": "medqa/medqa.yaml",
    "medmcqa": "medmcqa/medmcqa.yaml",
    "pubmedqa": "pubmedqa/pubmedqa.yaml",
}
"""The definitions below lm_eval/tasks."""

OPTION_TEXTS = """\
output_type: multiple_choice
doc_to_text: "Question: {{sent1}}\\nAnswer:"
doc_to_choice: "{{[ending0, ending1, ending2, ending3]}}"
doc_to_target: label
metric_list: [{metric: acc}, {metric: acc_norm}, {metric: acc_bytes}]
"""
"""MedQA with the option texts, as the harness's `arc_easy` scores its options."""


class Sample(TypedDict, total=False):
    """What the harness says of one item."""

    prompts: list[list[str]]
    logprobs: list[float]
    acc: float
    acc_norm: float
    acc_bytes: float


class Harness:
    """lm-evaluation-harness in its own process."""

    def __init__(self, python: str, model_folder: Path) -> None:
        self.tasks_folder = Path(
            subprocess.run(
                [python, "-c", "import lm_eval; print(lm_eval.__path__[0])"],
                check=True,
                capture_output=True,
                text=True,
            ).stdout.strip(),
            "tasks",
        )
        self._process = subprocess.Popen(
            [python, str(WORKER), str(model_folder), "2", str(MAX_LENGTH_TOKENS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"},
        )

    def scores(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        """`HFLM.loglikelihood` of the pairs."""
        answer: dict[str, list[tuple[float, bool]]] = json.loads(self._ask({"pairs": list(pairs), "batch_size": 16}))
        return answer["results"]

    def samples(self, task: str, yaml: str, *, folder: Path) -> list[Sample]:
        """All items of a task defined by a YAML text."""
        (folder / f"{task}.yaml").write_text(f"task: {task}\n{yaml}", encoding="utf-8")
        answer: dict[str, list[Sample]] = json.loads(self._ask({"tasks": [task], "folder": str(folder)}))
        return answer[task]

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()

    def _ask(self, request: object) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        assert line, "the harness ended; its messages stand in the captured stderr"
        return line


@pytest.fixture(scope="module")
def tokenizer(data_root: Path) -> PreTrainedTokenizerFast:
    return word_tokenizer([row["sent1"] for row in medqa_rows(data_root)], vocab_size=2000)


@pytest.fixture(scope="module")
def llama(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    return word_llama(len(tokenizer), initializer_range=0.1)


@pytest.fixture(scope="module")
def harness(
    tmp_path_factory: pytest.TempPathFactory, llama: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> Iterator[Harness]:
    python = os.environ.get("BIOINSTRUCT_LM_EVAL_PYTHON")
    if not python:
        pytest.skip("BIOINSTRUCT_LM_EVAL_PYTHON names no Python with lm-evaluation-harness 0.4.13")
    folder = tmp_path_factory.mktemp("model")
    llama.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    harness = Harness(python, folder)
    yield harness
    harness.close()


def medqa_rows(root: Path) -> list[dict[str, str]]:
    """MedQA dev as GBaker/MedQA-USMLE-4-options-hf has it."""
    lines = (root / "medqa/phrases_no_exclude_dev.jsonl").read_text(encoding="utf-8").splitlines()
    return [
        {"sent1": r["question"], "label": "ABCD".index(r["answer_idx"])}
        | {f"ending{k}": r["options"][letter] for k, letter in enumerate("ABCD")}
        for r in map(json.loads, lines)
    ]


def medmcqa_rows(root: Path) -> list[dict[str, str]]:
    """MedMCQA dev as openlifescienceai/medmcqa has it, from MIRAGE's copy."""
    records = json.loads((root / "mirage/benchmark.json").read_text(encoding="utf-8"))["medmcqa"]
    return [
        {"question": r["question"], "cop": "ABCD".index(r["answer"])}
        | {f"op{letter.lower()}": r["options"][letter] for letter in "ABCD"}
        for r in records.values()
    ]


def pubmedqa_rows(root: Path) -> list[dict[str, str]]:
    """PubMedQA as bigbio/pubmed_qa has it."""
    records = json.loads((root / "pubmedqa/ori_pqal.json").read_text(encoding="utf-8")).values()
    return [{key: r[key] for key in ("QUESTION", "CONTEXTS", "final_decision")} for r in records]


ROWS = {"medqa": medqa_rows, "medmcqa": medmcqa_rows, "pubmedqa": pubmedqa_rows}


def write_rows(rows: Sequence[dict[str, str]], folder: Path) -> str:
    """Writes the records and returns the YAML lines that make them a task's only split."""
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return (
        f"dataset_path: json\ndataset_name: null\ndataset_kwargs: {{data_files: {{test: {file}}}}}\n"
        "training_split: null\nvalidation_split: null\ntest_split: test\n"
    )


def our_scores(
    llama: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, items: Sequence[Item]
) -> list[list[LogLikelihood]]:
    backend = HfBackend(llama, tokenizer, fingerprint="small", max_length_tokens=MAX_LENGTH_TOKENS)
    flat = iter(backend.loglikelihood([(item.context, text) for item in items for text in item.continuations]))
    return [[next(flat) for _ in item.continuations] for item in items]


def assert_same(items: Sequence[Item], ours: Sequence[Sequence[LogLikelihood]], theirs: Sequence[Sample]) -> None:
    """Prompts, log-probabilities, and under each of the harness's rules whether the item is right."""
    assert len(items) == len(theirs)
    expected = [[[item.context, text] for text in item.continuations] for item in items]
    assert [sample["prompts"] for sample in theirs] == expected
    likelihoods = [[entry.logprob for entry in row] for row in ours]
    for mine, sample in zip(likelihoods, theirs, strict=True):
        assert mine == pytest.approx(sample["logprobs"], abs=TOLERANCE, rel=0)
    texts = [[text.removeprefix(" ") for text in item.continuations] for item in items]
    choices = argmax_choices(likelihoods, texts)
    harness_choices = argmax_choices([sample["logprobs"] for sample in theirs], texts)
    assert choices == harness_choices
    rules = [rule for rule in choices if rule in theirs[0]]
    assert rules[0] == "acc"
    for rule in rules:
        right = [float(choice == item.target) for choice, item in zip(choices[rule], items, strict=True)]
        assert right == [sample[rule] for sample in theirs]  # type: ignore[literal-required]


@pytest.mark.parametrize("name", list(ROWS))
def test_the_harness_chooses_the_same_on_every_item(
    name: str,
    harness: Harness,
    llama: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    data_root: Path,
    tmp_path: Path,
) -> None:
    task = get_task(name)
    items = task.render(task.load(data_root, "dev"), "lm_eval", NO_TEMPLATE)
    ours = our_scores(llama, tokenizer, items)
    yaml = f"include: {harness.tasks_folder / HARNESS_FILES[name]}\n"
    yaml += write_rows(ROWS[name](data_root), tmp_path)
    theirs = harness.samples(f"crosscheck_{name}", yaml, folder=tmp_path)
    assert_same(items, ours, theirs)
    assert len(items) == {"medqa": 1272, "medmcqa": 4183, "pubmedqa": 500}[name]
    num_cut = sum(any(entry.num_truncated_tokens for entry in row) for row in ours)
    assert num_cut > {"medqa": 10, "medmcqa": -1, "pubmedqa": 100}[name]


def test_option_texts_are_right_under_the_same_rules(
    harness: Harness,
    llama: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    data_root: Path,
    tmp_path: Path,
) -> None:
    task = get_task("medqa")
    items = task.render(task.load(data_root, "dev"), "lm_eval_text", NO_TEMPLATE)
    rows = write_rows(medqa_rows(data_root), tmp_path)
    theirs = harness.samples("crosscheck_texts", OPTION_TEXTS + rows, folder=tmp_path)
    assert "acc_bytes" in theirs[0]
    assert_same(items, our_scores(llama, tokenizer, items), theirs)


def test_its_model_class_gives_the_same_numbers_for_the_same_requests(
    harness: Harness, llama: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, data_root: Path
) -> None:
    task = get_task("medqa")
    items = task.render(task.load(data_root, "dev")[:300], "lm_eval_text", NO_TEMPLATE)
    ours = [entry for row in our_scores(llama, tokenizer, items) for entry in row]
    theirs = harness.scores([(item.context, text) for item in items for text in item.continuations])
    assert [entry.logprob for entry in ours] == pytest.approx([t[0] for t in theirs], abs=TOLERANCE, rel=0)
    assert [entry.is_greedy for entry in ours] == [t[1] for t in theirs]
