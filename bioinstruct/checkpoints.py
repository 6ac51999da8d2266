"""Checkpoints of a run: adapter and optimizer tensors as safetensors, progress as JSON, never the base.

A checkpoint is a folder `step-00000050`, written beside and renamed into place, so that it is whole or not there.
`state.json` holds the checksums of the other files; a checkpoint that does not match them is passed over.
No RNG state is needed: every draw is seeded from (seed, step).
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from bioinstruct.errors import UserError
from bioinstruct.runs import JsonValue, file_sha256, read_json, write_json

logger = logging.getLogger(__name__)

FORMAT = 1
KEEP = 2
"""Checkpoints kept; the one before the newest is the way back from a damaged one."""


@dataclass(frozen=True)
class Checkpoint:
    """What is needed to go on at `next_step` as if nothing had happened."""

    next_step: int
    adapter: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]
    """Optimizer state as `<parameter index>.<name>`."""
    progress: Mapping[str, JsonValue]
    """Plain values: validation history, best step, tokens seen, seconds spent."""


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Writes a checkpoint below `folder` and removes all but the newest KEEP."""
    final = folder / f"step-{checkpoint.next_step:08d}"
    with whole_folder(final) as temporary:
        save_file(checkpoint.adapter, temporary / "adapter.safetensors")
        save_file(checkpoint.optimizer, temporary / "optimizer.safetensors")
        checksums: dict[str, JsonValue] = {
            file.name: file_sha256(file) for file in sorted(temporary.glob("*.safetensors"))
        }
        write_json(
            temporary / "state.json",
            {
                "format": FORMAT,
                "next_step": checkpoint.next_step,
                "progress": dict(checkpoint.progress),
                "sha256": checksums,
            },
        )
    for old in _found(folder)[:-KEEP]:
        shutil.rmtree(old)
    return final


def load_newest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest whole checkpoint, or None; damaged ones are named in the log and passed over."""
    for path in reversed(_found(folder)):
        try:
            return _load(path)
        except (OSError, UserError, KeyError, ValueError) as error:
            logger.warning("checkpoint %s is damaged (%s); going back to an earlier one", path, error)
    return None


def _load(path: Path) -> Checkpoint:
    state = read_json(path / "state.json")
    if state.get("format") != FORMAT:
        raise UserError(f"format {state.get('format')}, expected {FORMAT}")
    checksums, progress = state["sha256"], state["progress"]
    if not isinstance(checksums, dict) or not isinstance(progress, dict):
        raise UserError("state.json has no sha256 or progress")
    for name in ("adapter.safetensors", "optimizer.safetensors"):
        if file_sha256(path / name) != checksums[name]:
            raise UserError(f"{name} has another checksum than when it was written")
    return Checkpoint(
        next_step=int(str(state["next_step"])),
        adapter=load_file(path / "adapter.safetensors"),
        optimizer=load_file(path / "optimizer.safetensors"),
        progress=progress,
    )


def _found(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if path.is_dir())


@contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of `final` in one rename when the block ends well."""
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}."))
    temporary.chmod(0o755)
    try:
        yield temporary
        for file in temporary.iterdir():
            _sync(file)
        _sync(temporary)
        if final.exists():
            shutil.rmtree(final)
        temporary.rename(final)
        _sync(final.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def remove_leftovers(folder: Path) -> None:
    """Removes temporary files and folders that a killed process left behind."""
    for path in folder.glob(".*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def pack_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimizer's state as tensors named `<parameter index>.<name>`; numbers become 0-d float64 tensors."""
    packed: dict[str, torch.Tensor] = {}
    for index, entry in optimizer.state_dict()["state"].items():
        for name, value in entry.items():
            tensor = value if isinstance(value, torch.Tensor) else torch.tensor(value, dtype=torch.float64)
            packed[f"{index}.{name}"] = tensor.detach().cpu().contiguous()
    return packed


def restore_optimizer(optimizer: torch.optim.Optimizer, packed: Mapping[str, torch.Tensor]) -> None:
    """Puts a packed state back; learning rates follow from the step, so parameter groups are not stored."""
    state: dict[int, dict[str, object]] = {}
    for key, tensor in packed.items():
        index, name = key.split(".", 1)
        is_number = tensor.dtype is torch.float64 and tensor.ndim == 0
        state.setdefault(int(index), {})[name] = tensor.item() if is_number else tensor
    current = optimizer.state_dict()
    optimizer.load_state_dict({"state": state, "param_groups": current["param_groups"]})
