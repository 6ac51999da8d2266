"""Items/s of option scoring against lm-evaluation-harness 0.4.13: same model, same requests, alternating runs.

    export BIOINSTRUCT_DATA=…                  # MedQA: medqa/phrases_no_exclude_dev.jsonl
    export BIOINSTRUCT_LM_EVAL_PYTHON=…        # the Python of requirements-lm-eval.txt
    python experiments/benchmarks/evaluation.py

LLaMAs of about 7 M parameters with random weights; their tokenizer is learnt from the questions and abstracts at
hand. Both programs get the same threads, and the harness the fastest of three batch sizes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from bioinstruct.errors import PrerequisiteError
from bioinstruct.generation import HfBackend
from bioinstruct.prompts import Template
from bioinstruct.tasks import get_task

ROOT = Path(__file__).parents[2]
MAX_LENGTH_TOKENS = 2048
HARNESS_BATCH_SIZES = (1, 4, 16)
NO_TEMPLATE = Template(name="none", with_input="{instruction}{input}", without_input="{instruction}")

Pair = tuple[str, str]


class Shape(NamedTuple):
    """Sizes of a LLaMA with tied embeddings."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int


SHAPES = {
    "32k vocabulary": Shape(32_000, 192, 512, 4, 6),  # 7.9 M: as LLaMA's tokenizer, most of it embeddings
    "4k vocabulary": Shape(4_000, 256, 768, 8, 8),  # 7.8 M: most of it layers, as in a large model
}
"""Large models spend their time in layers, small ones in logits: the second is the harder comparison."""


class Measurement(NamedTuple):
    """One shape and protocol."""

    ours: float
    """Items/s, median."""
    harness: float
    batch_size: int
    """Of the harness: the fastest."""
    ratio: float
    """Of wall times: median over neighbouring runs."""
    cpu_ratio: float
    """Of CPU times: less moved by what else runs on the machine."""
    largest_difference: float
    """In summed log-probability, over all options."""
    same_choice: bool


def main() -> None:
    """Prints a table row per model and kind of option; `difference` is the largest in log-probability."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--items", type=int, default=40, help="questions of MedQA dev")
    parser.add_argument("--rounds", type=int, default=3, help="alternating runs of each program")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    root, python = (Path(require(name)) for name in ("BIOINSTRUCT_DATA", "BIOINSTRUCT_LM_EVAL_PYTHON"))
    torch.set_num_threads(options.threads)
    print(
        f"torch {torch.__version__}, transformers {transformers.__version__}, lm_eval 0.4.13, "
        f"Python {platform.python_version()}, {options.threads} threads, {options.items} questions, "
        f"medians of {options.rounds} alternating runs\n"
    )
    print("| model | scored | ours, items/s | harness, items/s (batch) | ratio | of CPU time | difference | choices |")
    print("|---|---|---|---|---|---|---|---|")
    for label, shape in SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            backend = make_model(shape, Path(folder), root)
            for scored, protocol in (("option texts", "lm_eval_text"), ("letters", "lm_eval")):
                pairs = medqa_pairs(root, protocol)[: 4 * options.items]
                m = measure(backend, pairs, [str(python), folder], options)
                rates = f"{m.ours:.1f} | {m.harness:.1f} ({m.batch_size}) | {m.ratio:.1f} | {m.cpu_ratio:.1f}"
                same = "same" if m.same_choice else "NOT THE SAME"
                print(f"| {label} | {scored} | {rates} | {m.largest_difference:.1e} | {same} |", flush=True)


def require(name: str) -> str:
    """Value of an environment variable."""
    if not os.environ.get(name):
        raise PrerequisiteError(f"{name} is not set; see the head of {Path(__file__).name}")
    return os.environ[name]


def make_model(shape: Shape, folder: Path, root: Path) -> HfBackend:
    """A model of random weights and its tokenizer, written into `folder` for the harness."""
    tokenizer = train_tokenizer(shape.vocab_size, root)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        tie_word_embeddings=True,
        max_position_embeddings=MAX_LENGTH_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = LlamaForCausalLM(config).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return HfBackend(model, tokenizer, fingerprint="benchmark", max_length_tokens=MAX_LENGTH_TOKENS)


def train_tokenizer(vocab_size: int, root: Path) -> PreTrainedTokenizerBase:
    """A BPE of LLaMA's kind, learnt from PubMed abstracts, questions and instructions below the data root."""
    sys.path.insert(0, str(ROOT))
    from tests.word_llama import word_tokenizer

    abstracts = json.loads((root / "pubmedqa/ori_pqal.json").read_text(encoding="utf-8"))
    benchmark = json.loads((root / "mirage/benchmark.json").read_text(encoding="utf-8"))
    texts = [text for record in abstracts.values() for text in record["CONTEXTS"]]
    for part in benchmark.values():
        texts += [" ".join([record["question"], *record["options"].values()]) for record in part.values()]
    texts += [text for pair in medqa_pairs(root, "lm_eval_text") for text in pair]
    tokenizer = word_tokenizer(texts, vocab_size=vocab_size)
    assert len(tokenizer) == vocab_size
    return tokenizer


def medqa_pairs(root: Path, protocol: str) -> list[Pair]:
    """(context, continuation) of MedQA dev, four for each question."""
    task = get_task("medqa")
    items = task.render(task.load(root, "dev"), protocol, NO_TEMPLATE)
    return [(item.context, text) for item in items for text in item.continuations]


def measure(backend: HfBackend, pairs: list[Pair], worker: list[str], options: argparse.Namespace) -> Measurement:
    """Both programs in turn on the same pairs, after one warming run of each on a few of them."""
    few = pairs[: len(pairs) // 5]
    clocks, theirs = [], []
    with harness(worker, options.threads) as ask:
        ask(few, 1)
        trials = {size: ask(few, size)["cpu_seconds"] for size in HARNESS_BATCH_SIZES}
        fastest = min(trials, key=lambda size: trials[size])
        backend.loglikelihood(few)
        for _ in range(options.rounds):
            start, cpu_start = time.perf_counter(), time.process_time()
            ours = backend.loglikelihood(pairs)
            clocks.append((time.perf_counter() - start, time.process_time() - cpu_start))
            theirs.append(ask(pairs, fastest))
    values = [entry.logprob for entry in ours]
    expected = [result[0] for result in theirs[-1]["results"]]
    num_items = len(pairs) // 4
    return Measurement(
        ours=num_items / median(wall for wall, _ in clocks),
        harness=num_items / median(answer["seconds"] for answer in theirs),
        batch_size=fastest,
        ratio=median(b["seconds"] / wall for (wall, _), b in zip(clocks, theirs, strict=True)),
        cpu_ratio=median(b["cpu_seconds"] / cpu for (_, cpu), b in zip(clocks, theirs, strict=True)),
        largest_difference=max(abs(a - b) for a, b in zip(values, expected, strict=True)),
        same_choice=choices(values) == choices(expected),
    )


def choices(values: list[float]) -> list[int]:
    """The best of each four."""
    return [max(range(4), key=lambda k: values[start + k]) for start in range(0, len(values), 4)]


@contextmanager
def harness(worker: list[str], threads: int) -> Iterator[Callable[[list[Pair], int], dict]]:
    """A function that lets lm-evaluation-harness score pairs in its own process."""
    python, folder = worker
    script = str(Path(__file__).with_name("lm_eval_worker.py"))
    process = subprocess.Popen(
        [python, script, folder, str(threads), str(MAX_LENGTH_TOKENS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def ask(pairs: list[Pair], batch_size: int) -> dict:
        print(json.dumps({"pairs": pairs, "batch_size": batch_size}), file=process.stdin, flush=True)
        return json.loads(process.stdout.readline())

    try:
        yield ask
    finally:
        process.communicate()


if __name__ == "__main__":
    main()
