"""Training speed on CPU: this engine against TRL's SFTTrainer, default and packing, in alternating runs.

The same records, base, adapters (LoRA r 16 on all linear layers, float32), records per step and completion-only
loss. Prints tokens/s, the share of what the machine's own matrix product allows, peak memory, and the ratios.

    python -m venv .venv-trl && .venv-trl/bin/pip install -r experiments/benchmarks/requirements-trl.txt
    BIOINSTRUCT_DATA=… python experiments/benchmarks/training.py --trl-python .venv-trl/bin/python
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

HERE = Path(__file__).parent
RECORDS_PER_STEP = 16
SHAPE = {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 8, "num_attention_heads": 8}
VOCABULARY = 8192


def build_model(folder: Path, texts: list[str]) -> None:
    """A LLaMA of 8.4 M parameters with random weights, and a byte-level BPE trained on the records."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<pad>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet)
    inner.train_from_iterator(texts, trainer)
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)])
    PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, **SHAPE, tie_word_embeddings=True, bos_token_id=0, eos_token_id=1, pad_token_id=2
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def cell_config(model: Path, data: Path, output: Path, steps: int):
    """The cell that this engine runs."""
    from hydra import compose, initialize_config_module

    from bioinstruct.config import TrainConfig, register_schemas, typed_config

    register_schemas()
    overrides = [
        "model=local",
        f"model.path={model}",
        "model.dtype=float32",
        "lora=all_linear",
        "data=local",
        "category=all_other",
        f"data.path={data}",
        "data.validation_fraction=0",
        "optim.validations_per_epoch=0",
        "optim.lr=1e-3",
        f"optim.records_per_step={RECORDS_PER_STEP}",
        f"optim.max_steps={steps}",
        "trainer=cpu",
        "~tasks",
        "trainer.checkpoint_every_steps=1000",
        f"output_root={output}",
    ]
    with initialize_config_module("bioinstruct.conf", version_base="1.3"):
        return typed_config(compose("train", overrides=overrides), TrainConfig)


def run_engine(model: Path, data: Path, steps: int, warmup: int) -> dict[str, float]:
    """One timed run of this engine; called in a process of its own."""
    from bioinstruct.pipeline import run_cell

    with tempfile.TemporaryDirectory() as output:
        folder = run_cell(cell_config(model, data, Path(output), steps))
        with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    tokens = float(rows[-1]["num_tokens"]) - float(rows[warmup - 1]["num_tokens"])
    seconds = sum(float(row["step_seconds"]) for row in rows[warmup:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return {"tokens_per_second": tokens / seconds, "peak_mib": peak, "tokens": tokens}


def matrix_limit(tokens: int, response_share: float) -> float:
    """Tokens/s if only the matrix products of a step existed: forward and backward to the activations, no weights'."""
    width, middle, layers = SHAPE["hidden_size"], SHAPE["intermediate_size"], SHAPE["num_hidden_layers"]
    shapes = [(tokens, width, width)] * 4 * layers + [(tokens, width, middle)] * 2 * layers
    shapes += [(tokens, middle, width)] * layers + [(int(tokens * response_share), width, VOCABULARY)]
    tensors = [(torch.randn(t, i), torch.randn(o, i), torch.randn(t, o)) for t, i, o in shapes]
    times = []
    for _ in range(5):
        started = time.monotonic()
        for x, weight, slope in tensors:
            torch.mm(x, weight.T)
            torch.mm(slope, weight)
        times.append(time.monotonic() - started)
    return tokens / statistics.median(times)


def measure(command: list[str]) -> dict[str, float]:
    """The JSON that a worker prints last."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command[:3])} failed:\n{result.stderr[-2000:]}")
    return json.loads(result.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trl-python", help="Python of an environment with requirements-trl.txt")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        print(json.dumps(run_engine(*options.engine, options.steps, options.warmup)))
        return
    data = Path(os.environ.get("BIOINSTRUCT_DATA", "data")) / "bioinstruct" / "bioinstruct_slice.json"
    with tempfile.TemporaryDirectory() as temporary:
        model = Path(temporary) / "model"
        raw = json.loads(data.read_text(encoding="utf-8"))
        build_model(model, [" ".join(row.values()) for row in raw])
        results = run_rounds(options, model, data, Path(temporary))
    show(results)


def run_rounds(
    options: argparse.Namespace, model: Path, data: Path, temporary: Path
) -> dict[str, list[dict[str, float]]]:
    """Alternating runs of every contestant."""
    from bioinstruct.pipeline.identity import cell_corpus

    corpus = cell_corpus(cell_config(model, data, temporary, 1))
    records = [{"ids": list(r.input_ids), "prompt": r.prompt_length} for r in corpus.training]
    (temporary / "records.json").write_text(json.dumps(records))
    mean = sum(len(r["ids"]) for r in records) / len(records)
    share = sum(len(r["ids"]) - r["prompt"] for r in records) / sum(len(r["ids"]) for r in records)
    size = ["--steps", str(options.steps), "--warmup", str(options.warmup)]
    commands = {"this engine": [sys.executable, __file__, "--engine", str(model), str(data), *size]}
    if options.trl_python:
        packed_rows = max(round(RECORDS_PER_STEP * mean / 512), 1)
        for name, packing, rows in (("TRL", "0", RECORDS_PER_STEP), ("TRL packing", "1", packed_rows)):
            worker = [options.trl_python, str(HERE / "trl_worker.py"), str(model), str(temporary / "records.json")]
            commands[name] = [*worker, packing, str(rows), str(options.steps), str(options.warmup)]
    results: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    results["matrix limit"] = []
    print(f"mean record {mean:.0f} tokens, {share:.0%} response")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for number in range(options.rounds):
        for name, command in commands.items():
            results[name].append(measure(command))
            print(f"round {number + 1}: {name} {results[name][-1]['tokens_per_second']:.0f} tokens/s", flush=True)
        limit = matrix_limit(int(RECORDS_PER_STEP * mean), share)
        results["matrix limit"].append({"tokens_per_second": limit, "peak_mib": 0.0})
    return results


def show(results: dict[str, list[dict[str, float]]]) -> None:
    """The table: medians over the rounds."""
    speed = {name: statistics.median(r["tokens_per_second"] for r in runs) for name, runs in results.items()}
    print("\n| | tokens/s (median) | share of the matrix limit | peak MiB | this engine is faster by |")
    print("|---|---|---|---|---|")
    for name, runs in results.items():
        peak = statistics.median(r["peak_mib"] for r in runs)
        ratio = speed["this engine"] / speed[name]
        print(f"| {name} | {speed[name]:.0f} | {speed[name] / speed['matrix limit']:.0%} | {peak:.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
