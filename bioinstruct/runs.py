"""Run folders: identity from content, atomic files, and what is already done.

outputs/train/<run_id>/ holds config.yaml, run.json, train.log, metrics.csv, checkpoints/, adapter/,
evaluations/<task>-<protocol hash>.{jsonl,json} and results.json. The same command lands in the same folder and
does what is missing.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bioinstruct.errors import PrerequisiteError, UserError

RECIPE_VERSION = 1
"""Version of what enters a run id; raise it when training or the payload changes its meaning."""

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]


@dataclass(frozen=True)
class RunFolder:
    """Paths inside one run's folder."""

    path: Path

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def state_file(self) -> Path:
        return self.path / "run.json"

    @property
    def log_file(self) -> Path:
        return self.path / "train.log"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def adapter(self) -> Path:
        return self.path / "adapter"

    @property
    def evaluations(self) -> Path:
        return self.path / "evaluations"

    @property
    def results_file(self) -> Path:
        return self.path / "results.json"

    def is_trained(self) -> bool:
        """Whether the final adapter is complete: it is renamed into place as a whole."""
        return (self.adapter / "adapter_model.safetensors").is_file()


def check_name(value: str, *, key: str) -> str:
    """The value if it is a plain file name, else UserError: names never leave the output folder."""
    if not NAME_PATTERN.fullmatch(value):
        raise UserError(
            f"{key}={value!r} is not a name; allowed: letters, digits, '.', '_', '-', at most 128, "
            "beginning with a letter or digit. Give a name, not a path"
        )
    return value


def make_run_id(model: str, category: str, seed: int | None, identity: Mapping[str, JsonValue]) -> str:
    """`<model>-<category>-s<seed>-<8 hex>`; without a seed (the untuned model) that part is left out."""
    payload = json.dumps({"recipe": RECIPE_VERSION, **identity}, sort_keys=True, ensure_ascii=False)
    digest = hashlib.sha256(payload.encode()).hexdigest()[:8]
    parts = [model, category, *([] if seed is None else [f"s{seed}"]), digest]
    return check_name("-".join(parts), key="run id")


def find_run(output_root: Path, run_id: str) -> RunFolder:
    """The folder of an existing run; PrerequisiteError naming near matches if there is none."""
    check_name(run_id, key="run")
    folder = RunFolder(output_root / "train" / run_id)
    if not folder.config_file.is_file():
        known = sorted(p.parent.name for p in (output_root / "train").glob("*/config.yaml"))
        near = [name for name in known if name.startswith(run_id.rsplit("-", 1)[0])] or known
        listed = ", ".join(near[:5]) or "none yet"
        raise PrerequisiteError(f"no run {run_id!r} below {output_root / 'train'}; runs there: {listed}")
    return folder


def write_atomic(path: Path, content: str | bytes) -> None:
    """Writes the whole file or nothing: a temporary file in the same folder, flushed to disk, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: object) -> None:
    """Writes a JSON file atomically, indented, keys in the given order."""
    write_atomic(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, JsonValue]:
    """The object in a JSON file; UserError naming the file if it is no JSON object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not readable JSON ({error}); remove it and run the command again") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def file_sha256(path: Path) -> str:
    """sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def lock_run(folder: RunFolder, *, enabled: bool = True) -> Iterator[None]:
    """Holds a run folder for this process; UserError while another process works on it.

    The kernel releases the lock when its holder ends, however it ends.
    """
    if not enabled:
        yield
        return
    path = folder.path.parent / ".locks" / f"{folder.run_id}.work"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{folder.run_id} is being worked on by another process; wait for it to end") from error
        yield
