"""Evaluation under injected faults: killed at any moment, and files damaged anywhere."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bioinstruct.errors import UserError
from bioinstruct.scoring import evaluate_task
from bioinstruct.tasks import TASKS, get_task
from bioinstruct.tasks.base import missing_files
from tests.tasks.fixtures import (
    MEDQA_RECORDS,
    TEMPLATE,
    HashBackend,
    closed_data_folder,
    data_folder,
    json_lines,
    write,
)

pytestmark = pytest.mark.faults

NUM_RECORDS = 200

CHILD = """
import sys, time
from pathlib import Path
from bioinstruct import scoring
from bioinstruct.tasks import get_task
from tests.tasks.fixtures import TEMPLATE, HashBackend

class Slow(HashBackend):
    def loglikelihood(self, pairs):
        time.sleep(0.005 * len(pairs))
        return super().loglikelihood(pairs)

root, chunk = Path(sys.argv[1]), int(sys.argv[2])
scoring.CHUNK_ITEMS = chunk
scoring.evaluate_task(
    Slow(), get_task("medqa"), root=root, split="test", protocol="lm_eval", template=TEMPLATE, limit=None,
    num_shots=0, max_new_tokens=8, folder=root / "evaluations",
)
"""


def many_questions(root: Path) -> Path:
    records = [MEDQA_RECORDS[0] | {"question": f"Question number {number}?"} for number in range(NUM_RECORDS)]
    write(root / "medqa/phrases_no_exclude_test.jsonl", json_lines(records))
    return root


def test_evaluation_killed_at_any_moment_loses_and_doubles_nothing(tmp_path: Path) -> None:
    draw = random.Random(0)
    root = many_questions(tmp_path / "killed")
    num_killed = 0
    for _ in range(100):
        chunk = draw.choice([1, 3, 7, 16])
        with subprocess.Popen([sys.executable, "-c", CHILD, str(root), str(chunk)]) as child:
            time.sleep(draw.uniform(0.3, 1.2))
            if child.poll() is not None:
                assert child.returncode == 0
                break
            os.kill(child.pid, signal.SIGKILL)
            num_killed += 1
    else:
        pytest.fail("the evaluation never came to its end")
    assert num_killed > 2
    (predictions,) = (root / "evaluations").glob("*.jsonl")
    ids = [json.loads(line)["id"] for line in predictions.read_text().splitlines()]
    assert len(ids) == len(set(ids)) == NUM_RECORDS
    undisturbed = evaluate_task(
        HashBackend(),
        get_task("medqa"),
        root=many_questions(tmp_path / "whole"),
        split="test",
        protocol="lm_eval",
        template=TEMPLATE,
        limit=None,
        num_shots=0,
        max_new_tokens=8,
        folder=tmp_path / "whole/evaluations",
    )
    (score_file,) = (root / "evaluations").glob("*.json")
    assert json.loads(score_file.read_text())["metrics"]["acc"]["value"] == undisturbed.metrics["acc"].value


def damaged(content: bytes, draw: random.Random) -> bytes:
    """The content with a byte changed, a piece cut out or doubled, or its end cut off."""
    start = draw.randrange(len(content))
    stop = min(len(content), start + draw.randrange(1, 40))
    return draw.choice(
        [
            content[:start],
            content[:start] + content[stop:],
            content[:stop] + content[start:stop] + content[stop:],
            content[:start] + bytes([draw.randrange(256)]) + content[start + 1 :],
        ]
    )


def test_evaluation_files_damaged_anywhere_are_read_or_refused_by_name(tmp_path: Path) -> None:
    draw = random.Random(1)
    root = closed_data_folder(data_folder(tmp_path))
    present = [
        (task, split)
        for task in TASKS.values()
        for split in task.splits
        if not missing_files(task, root, split) and task.layout(root, split).files
    ]
    assert len(present) >= 20
    refused: list[tuple[str, str]] = []
    for task, split in present:
        paths = task.layout(root, split).paths(root)
        for _ in range(60):
            path = draw.choice(paths)
            whole = path.read_bytes()
            path.write_bytes(damaged(whole, draw))
            try:
                task.render(task.load(root, split), task.protocols[0], TEMPLATE)
            except UserError as error:
                refused.append((str(error), " ".join(other.name for other in paths)))
            finally:
                path.write_bytes(whole)
    assert len(refused) > len(present) * 20
    nameless = [message for message, names in refused if not any(name in message for name in names.split())]
    assert nameless == []
