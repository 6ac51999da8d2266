from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bioinstruct.errors import PrerequisiteError, UserError
from bioinstruct.runs import RunFolder, check_name, find_run, lock_run, make_run_id, read_json, write_atomic


def test_the_run_id_recipe_has_not_changed() -> None:
    """Golden: if it fails on purpose, raise RECIPE_VERSION, since every run would land in a new folder."""
    assert make_run_id("llama2_7b", "qa_ie", 0, {"lr": 3e-4, "include": ["qa", "ie"]}) == "llama2_7b-qa_ie-s0-b4df258e"
    assert make_run_id("tiny", "none", None, {"dtype": "float32"}) == "tiny-none-d9d2524e"


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a b", "x" * 200, "-rf"])
def test_names_never_leave_the_output_folder(name: str) -> None:
    with pytest.raises(UserError, match="is not a name"):
        check_name(name, key="run")


def test_an_unknown_run_lists_near_ones(tmp_path: Path) -> None:
    write_atomic(tmp_path / "train" / "tiny-qa-s0-aaaaaaaa" / "config.yaml", "x")
    with pytest.raises(PrerequisiteError, match="tiny-qa-s0-aaaaaaaa"):
        find_run(tmp_path, "tiny-qa-s0-bbbbbbbb")


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "results.json"
    write_atomic(target, "old")

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_atomic(target, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
    assert target.read_text() == "old"


def test_a_cut_json_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"a": ')
    with pytest.raises(UserError, match=r"run\.json is not readable JSON"):
        read_json(tmp_path / "run.json")


def test_a_second_process_is_kept_out_of_a_run_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "train" / "tiny-qa-s0-aaaaaaaa")
    program = (
        "import sys; from pathlib import Path; from bioinstruct.runs import RunFolder, lock_run\n"
        "with lock_run(RunFolder(Path(sys.argv[1]))): print('in')"
    )
    command = [sys.executable, "-c", program, str(folder.path)]
    with lock_run(folder):
        inside = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "is being worked on by another process" in inside.stderr
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "in\n"
