from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from bioinstruct.tasks import get_task
from bioinstruct.tasks.sources import SOURCES, check_sources, examples_digest
from tests.tasks.fixtures import data_folder


def test_a_changed_file_is_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = data_folder(tmp_path)
    task = get_task("aci_bench")
    name = "aci_bench/clinicalnlp_taskB_test1.csv"
    found = check_sources(task, root, "test1", task.load(root, "test1"))
    digest = hashlib.sha256((root / name).read_bytes()).hexdigest()
    assert found == {name: digest}
    known = SOURCES[name][1]
    assert f"{name} has sha256 {digest[:12]}…, the known release {known[:12]}…" in caplog.text


def test_a_part_of_a_file_is_noticed_by_its_examples(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = data_folder(tmp_path)
    task = get_task("medmcqa")
    check_sources(task, root, "dev", task.load(root, "dev"))
    assert "benchmark.json (part medmcqa, dev) has sha256" in caplog.text


def test_the_digest_of_examples_does_not_depend_on_their_order(tmp_path: Path) -> None:
    examples = get_task("medqa").load(data_folder(tmp_path), "test")
    assert examples_digest(examples) == examples_digest(examples[::-1])
    assert examples_digest(examples) != examples_digest(examples[1:])


def test_a_file_without_a_known_checksum_is_only_recorded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = data_folder(tmp_path)
    task = get_task("medqa")
    assert list(check_sources(task, root, "test", task.load(root, "test"))) == ["medqa/phrases_no_exclude_test.jsonl"]
    assert caplog.text == ""
