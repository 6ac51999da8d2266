"""Time and memory of the similarity filter, and the ratio to rouge-score pair by pair.

python experiments/benchmarks/filters.py $BIOINSTRUCT_DATA/bioinstruct/bioinstruct_slice.json 25005 100000

More instructions than the file holds are made by joining the first half of one with the second half of another.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import time
from collections.abc import Sequence
from pathlib import Path

from rouge_score import rouge_scorer

from bioinstruct.building.similarity import SimilarityIndex
from bioinstruct.config.building import Boundary

NUM_REFERENCE_PAIRS = 20_000


def make_instructions(real: Sequence[str], number: int) -> list[str]:
    """`number` instructions: the real ones, then halves of two joined."""
    rng = random.Random(0)
    texts = list(real[:number])
    while len(texts) < number:
        first, second = rng.choice(real).split(), rng.choice(real).split()
        texts.append(" ".join([*first[: len(first) // 2], *second[len(second) // 2 :]]))
    return texts


def time_reference(texts: Sequence[str]) -> float:
    """Seconds per pair of rouge-score, tokens prepared beforehand as Stanford Alpaca does."""
    rng = random.Random(0)
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    tokens = [scorer._tokenizer.tokenize(text) for text in texts[:2000]]
    pairs = [(rng.choice(tokens), rng.choice(tokens)) for _ in range(NUM_REFERENCE_PAIRS)]
    began = time.perf_counter()
    for first, second in pairs:
        rouge_scorer._score_lcs(first, second)
    return (time.perf_counter() - began) / NUM_REFERENCE_PAIRS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path)
    parser.add_argument("sizes", type=int, nargs="+")
    arguments = parser.parse_args()
    real = [record["instruction"] for record in json.loads(arguments.records.read_text(encoding="utf-8"))]
    per_pair = time_reference(real)
    print(f"rouge-score: {per_pair * 1e6:.1f} µs a pair")
    for size in arguments.sizes:
        texts = make_instructions(real, size)
        index = SimilarityIndex(threshold=0.7, boundary=Boundary.rouge_score, guard=False)
        began = time.perf_counter()
        conflicts = index.filter_in_order(texts)
        seconds = time.perf_counter() - began
        kept, num_pairs = 0, 0
        for conflict in conflicts:
            num_pairs += kept
            kept += conflict is None
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{size:,} instructions, {kept:,} kept: {seconds:.1f} s on one core, {memory:.0f} MB at most; "
            f"{num_pairs / 1e6:.0f} M pairs would take rouge-score {num_pairs * per_pair / 3600:.2f} h, "
            f"{num_pairs * per_pair / seconds:,.0f} times as long"
        )


if __name__ == "__main__":
    main()
