"""Goldens on the public files: prompts and targets of every task, through a backend whose answers are hashes.

One changed character of a prompt, or one record more or less, moves these numbers. To renew them after an
intended change: `BIOINSTRUCT_DATA=<folder> python -m tests.tasks.test_real_data`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bioinstruct.tasks import get_task
from bioinstruct.tasks.base import Answer, missing_files
from bioinstruct.tasks.prepare import PreparedTask, prepare_task
from tests.tasks.fixtures import TEMPLATE, HashBackend

pytestmark = pytest.mark.realdata

CHOICE_GOLDENS: dict[tuple[str, str, str], tuple[int, int]] = {
    ("medqa", "dev", "lm_eval"): (1272, 313),
    ("medqa", "dev", "alpaca"): (1272, 310),
    ("medqa", "dev", "lm_eval_text"): (1272, 349),
    ("medmcqa", "dev", "lm_eval"): (4183, 1027),
    ("medmcqa", "dev", "alpaca"): (4183, 1032),
    ("medmcqa", "dev", "lm_eval_text"): (4183, 1105),
    ("mmlu_medical", "test", "lm_eval"): (1089, 275),
    ("mmlu_medical", "test", "alpaca"): (1089, 246),
    ("mmlu_medical", "test", "lm_eval_text"): (1089, 273),
    ("pubmedqa", "dev", "lm_eval"): (500, 164),
    ("pubmedqa", "dev", "alpaca"): (500, 161),
    ("rqe", "test", "alpaca"): (302, 145),
    ("rqe", "train", "alpaca"): (8587, 4318),
}
"""(task, split, protocol) → (items, right answers of the hash backend)."""

WRITING_GOLDENS: dict[tuple[str, str], tuple[int, str]] = {
    ("bc5cdr_chemical", "dev"): (4581, "9277958f9185"),
    ("bc5cdr_chemical", "train"): (4560, "38f08031e47b"),
    ("bc5cdr_disease", "dev"): (4581, "44eadc089a8d"),
    ("bc5cdr_disease", "train"): (4560, "ba0882497042"),
    ("ncbi_disease", "dev"): (923, "9324c12f7b90"),
    ("ncbi_disease", "train"): (5424, "3585fcb4a073"),
    ("phee", "dev"): (961, "ca4ee385fa76"),
    ("phee", "train"): (2898, "7e984f6a0806"),
    ("mts_dialog", "test1"): (200, "0ed1d1253544"),
    ("mts_dialog", "dev"): (100, "d028c4bbeef1"),
    ("mts_dialog", "train"): (1201, "ea14e0f000c4"),
    ("aci_bench", "test1"): (40, "93247ff83e44"),
    ("aci_bench", "dev"): (20, "05fc8fdee21d"),
    ("aci_bench", "train"): (67, "1f24e87d528d"),
    ("aci_bench_divisions", "test1"): (152, "e0b5405fe21f"),
    ("craft_coreference", "all"): (129, "fa82fc3f736f"),
    ("meqsum", "all"): (1000, "c84f283f12c2"),
}
"""(task, split) → (items, protocol hash)."""


def prepared(name: str, split: str, protocol: str) -> PreparedTask:
    root = Path(os.environ.get("BIOINSTRUCT_DATA", ""))
    task = get_task(name)
    if not os.environ.get("BIOINSTRUCT_DATA") or missing_files(task, root, split):
        pytest.skip(f"BIOINSTRUCT_DATA holds no files of {name}, split {split}")
    return prepare_task(task, root=root, split=split, protocol=protocol, template=TEMPLATE)


def num_right(task: PreparedTask) -> int:
    backend = HashBackend()
    answers = [
        Answer(item.id, tuple(backend.loglikelihood([(item.context, text) for text in item.continuations])))
        for item in task.items
    ]
    return int(sum(stat.value for stat in task.task.score(task.items, answers).items))


@pytest.mark.parametrize(("name", "split", "protocol"), CHOICE_GOLDENS)
def test_the_hash_backend_answers_as_many_right_as_ever(name: str, split: str, protocol: str) -> None:
    task = prepared(name, split, protocol)
    assert (len(task.items), num_right(task)) == CHOICE_GOLDENS[name, split, protocol]


@pytest.mark.parametrize(("name", "split"), WRITING_GOLDENS)
def test_prompts_and_references_are_as_ever(name: str, split: str) -> None:
    task = prepared(name, split, "alpaca")
    assert (len(task.items), task.hash) == WRITING_GOLDENS[name, split]


@pytest.mark.parametrize(
    ("name", "split", "protocol", "majority"),
    [
        ("pubmedqa", "dev", "lm_eval", 276 / 500),
        ("medqa", "dev", "lm_eval", 352 / 1272),
        ("medmcqa", "dev", "lm_eval", 1348 / 4183),
        ("mmlu_medical", "test", "lm_eval", 352 / 1089),
        ("rqe", "test", "alpaca", 173 / 302),
    ],
)
def test_the_majority_baseline_is_the_count_of_the_most_frequent_answer(
    name: str, split: str, protocol: str, majority: float
) -> None:
    task = prepared(name, split, protocol)
    answers = [Answer(i.id, tuple(HashBackend().loglikelihood([(i.context, "")] * 5))) for i in task.items]
    answers = [
        Answer(a.item_id, a.loglikelihoods[: len(i.continuations)]) for a, i in zip(answers, task.items, strict=True)
    ]
    assert task.task.score(task.items, answers).baselines["majority"] == pytest.approx(majority)


def test_no_known_file_has_changed(caplog: pytest.LogCaptureFixture) -> None:
    for name, split in [*((n, s) for n, s, _ in CHOICE_GOLDENS), *WRITING_GOLDENS]:
        prepared(name, split, get_task(name).protocols[0])
    assert "sha256" not in caplog.text


def test_gold_entities_stand_in_their_text() -> None:
    for name in ("bc5cdr_chemical", "bc5cdr_disease", "ncbi_disease"):
        for item in prepared(name, "dev", "alpaca").items:
            position = 0
            for _, surface in item.gold:
                position = item.source.index(surface, position) + len(surface)


if __name__ == "__main__":
    for names in CHOICE_GOLDENS:
        choice_task = prepared(*names)
        print(f"    {names}: ({len(choice_task.items)}, {num_right(choice_task)}),")
    for pair in WRITING_GOLDENS:
        writing_task = prepared(*pair, "alpaca")
        print(f'    {pair}: ({len(writing_task.items)}, "{writing_task.hash}"),')
