"""lm-evaluation-harness 0.4.13 as a program: one JSON request a line on stdin, one JSON answer a line on stdout.

Runs in an environment of its own (requirements-lm-eval.txt), never beside this package; the benchmark and the
cross-check start it with `lm_eval_worker.py <model folder> <threads> <max length>`.

- {"pairs": [[context, continuation], …], "batch_size": n} → {"seconds": wall time, "cpu_seconds": of all threads,
  "results": [[log-probability, is greedy], …]}
- {"tasks": [name, …], "folder": <of their YAML files>} → {name: [sample, …]}, where a sample has the harness's
  prompts, log-probabilities, and acc, acc_norm, acc_bytes as far as the task computes them
"""

from __future__ import annotations

import contextlib
import json
import sys
import time

import lm_eval
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

METRICS = ("acc", "acc_norm", "acc_bytes")


def main() -> None:
    folder, threads, max_length = sys.argv[1], *map(int, sys.argv[2:4])
    torch.set_num_threads(threads)
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # the harness prints
        model = HFLM(pretrained=folder, device="cpu", dtype="float32", batch_size=16, max_length=max_length)
        for line in sys.stdin:
            request = json.loads(line)
            answer = score_pairs(model, request) if "pairs" in request else run_tasks(model, request)
            print(json.dumps(answer), file=answers, flush=True)


def score_pairs(model: HFLM, request: dict) -> dict:
    """`HFLM.loglikelihood` of the pairs, timed."""
    instances = [
        Instance(request_type="loglikelihood", doc={}, arguments=tuple(pair), idx=0) for pair in request["pairs"]
    ]
    model.batch_size_per_gpu = request["batch_size"]
    start, cpu_start = time.perf_counter(), time.process_time()
    results = model.loglikelihood(instances, disable_tqdm=True)
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu_start,
        "results": results,
    }


def run_tasks(model: HFLM, request: dict) -> dict:
    """`lm_eval.simple_evaluate` of the tasks; their samples in the order of the documents."""
    manager = TaskManager(include_path=request["folder"])
    output = lm_eval.simple_evaluate(model, tasks=request["tasks"], task_manager=manager, log_samples=True)
    return {
        name: [
            {
                "prompts": [sample["arguments"][f"gen_args_{k}"] for k in range(len(sample["arguments"]))]
                if isinstance(sample["arguments"], dict)
                else sample["arguments"],
                "logprobs": [float(response[0]) for response in sample["filtered_resps"]],
                **{metric: sample[metric] for metric in METRICS if metric in sample},
            }
            for sample in sorted(samples, key=lambda sample: sample["doc_id"])
        ]
        for name, samples in output["samples"].items()
    }


if __name__ == "__main__":
    main()
