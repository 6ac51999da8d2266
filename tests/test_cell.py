"""A whole cell: trained, evaluated, continued after an interruption, left alone when done."""

from __future__ import annotations

import csv
import json
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bioinstruct.checkpoints import load_newest_checkpoint
from bioinstruct.errors import UserError
from bioinstruct.pipeline import describe_cell, run_cell
from bioinstruct.pipeline.training import StopSignals
from bioinstruct.runs import RunFolder, read_json
from tests.cells import small_cell, write_records


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_records(tmp_path_factory.mktemp("records"))


@pytest.fixture(scope="module")
def finished(small_llama: Path, records: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A cell that ran without interruption."""
    return RunFolder(run_cell(small_cell(small_llama, records, tmp_path_factory.mktemp("finished"))))


def adapter_bytes(folder: RunFolder) -> bytes:
    return (folder.adapter / "adapter_model.safetensors").read_bytes()


def curve(folder: RunFolder) -> list[dict[str, str]]:
    with folder.metrics_file.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_run_folder_says_what_was_done(finished: RunFolder) -> None:
    state = read_json(finished.state_file)
    assert state["status"] == "trained"
    assert state["category"] == "all"
    training = state["training"]
    assert isinstance(training, dict)
    assert sum(training["records_per_category"].values()) == training["num_records"]  # type: ignore[union-attr, arg-type]
    rows = curve(finished)
    assert [int(row["step"]) for row in rows] == list(range(int(str(training["num_steps"]))))
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"]) - 0.2
    assert all(row["validation_loss"] for row in (rows[len(rows) // 2 - 1], rows[-1]))
    assert {"loss_qa", "loss_ie", "loss_gen", "validation_loss_qa"} <= set(rows[0])


def test_the_adapter_is_in_peft_layout_and_holds_no_base_weights(finished: RunFolder) -> None:
    weights = load_file(finished.adapter / "adapter_model.safetensors")
    assert all("lora_" in name for name in weights)
    assert all(tensor.dtype is torch.float32 for tensor in weights.values())
    assert json.loads((finished.adapter / "adapter_config.json").read_text())["r"] == 4


@pytest.mark.parametrize("stop_after", [1, 5, 9])
def test_a_stopped_run_ends_bit_identical(
    small_llama: Path,
    records: Path,
    tmp_path: Path,
    finished: RunFolder,
    monkeypatch: pytest.MonkeyPatch,
    stop_after: int,
) -> None:
    config = small_cell(small_llama, records, tmp_path)
    calls = iter(range(1000))
    with monkeypatch.context() as patch:
        patch.setattr(StopSignals, "received", lambda self: next(calls) == stop_after)
        with pytest.raises(SystemExit) as leave:
            run_cell(config)
    assert leave.value.code == 143
    assert describe_cell(config).state == "interrupted"
    folder = RunFolder(run_cell(config))
    assert folder.run_id == finished.run_id
    assert adapter_bytes(folder) == adapter_bytes(finished)
    assert [row["loss"] for row in curve(folder)] == [row["loss"] for row in curve(finished)]


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    small_llama: Path, records: Path, tmp_path: Path, finished: RunFolder
) -> None:
    config = small_cell(small_llama, records, tmp_path)
    folder = RunFolder(run_cell(config))
    newest = sorted(folder.checkpoints.glob("step-*"))[-1] / "adapter.safetensors"
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    (folder.adapter / "adapter_model.safetensors").unlink()
    earlier = load_newest_checkpoint(folder.checkpoints)
    assert earlier is not None
    assert earlier.next_step < len(curve(folder))
    run_cell(config)
    assert adapter_bytes(folder) == adapter_bytes(finished)


def test_a_finished_run_is_left_alone(
    small_llama: Path, records: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = small_cell(small_llama, records, tmp_path, "optim.max_steps=1")
    folder = RunFolder(run_cell(config))
    before = folder.state_file.stat().st_mtime_ns
    with caplog.at_level(logging.INFO):
        run_cell(config)
    assert "nothing to do" in caplog.text
    assert folder.state_file.stat().st_mtime_ns == before


def test_execution_settings_do_not_enter_the_run_id(small_llama: Path, records: Path, tmp_path: Path) -> None:
    def run_id(*overrides: str) -> str:
        return describe_cell(small_cell(small_llama, records, tmp_path, *overrides)).run_id

    plain = run_id()
    assert run_id("trainer.tokens_per_batch=1024", "trainer.packing=false", "logger=none") == plain
    for changed in (
        "seed=1",
        "optim.lr=0.02",
        "lora.rank=8",
        "category=qa",
        "data.max_length_tokens=120",
        "data.num_records=9",
    ):
        assert run_id(changed) != plain
    assert "-none-" in run_id("category=none")
    assert run_id("category=none") == run_id("category=none", "seed=3", "optim.lr=1")


def test_two_ranks_take_the_step_of_one(small_llama: Path, records: Path, tmp_path: Path) -> None:
    moments = []
    for devices in (1, 2):
        config = small_cell(
            small_llama,
            records,
            tmp_path / str(devices),
            "model.dtype=float64",
            "lora.dropout=0",
            "optim.max_steps=1",
            "optim.max_grad_norm=0",
            f"trainer.devices={devices}",
            "trainer.tokens_per_batch=128",
        )
        folder = RunFolder(run_cell(config))
        checkpoint = load_newest_checkpoint(folder.checkpoints)
        assert checkpoint is not None
        names = sorted(name for name in checkpoint.optimizer if name.endswith("exp_avg"))
        moments.append(torch.cat([checkpoint.optimizer[name].flatten() for name in names]))
    gradient_of_one, gradient_of_two = (moment / 0.1 for moment in moments)
    assert gradient_of_one.norm() > 1e-3
    assert (gradient_of_one - gradient_of_two).abs().max() < 1e-12


def test_a_loss_that_is_not_finite_names_step_and_records(small_llama: Path, records: Path, tmp_path: Path) -> None:
    config = small_cell(
        small_llama, records, tmp_path, "optim.lr=1e30", "optim.warmup_fraction=0", "optim.max_grad_norm=0"
    )
    with pytest.raises(UserError, match=r"loss nan.* at step \d+ \(records [0-9a-f]{16}"):
        run_cell(config)
    state = read_json(RunFolder(describe_cell(config).folder).state_file)
    assert state["status"] == "failed"


def test_early_stopping_keeps_the_best_adapter_beside_the_last(
    small_llama: Path, records: Path, tmp_path: Path
) -> None:
    config = small_cell(
        small_llama, records, tmp_path, "optim.patience=1", "optim.validations_per_epoch=3", "optim.lr=2"
    )
    folder = RunFolder(run_cell(config))
    losses = [float(row["validation_loss"]) for row in curve(folder) if row["validation_loss"]]
    assert losses[-1] > min(losses)
    assert (folder.path / "adapter_last" / "adapter_model.safetensors").is_file()
    assert adapter_bytes(folder) != (folder.path / "adapter_last" / "adapter_model.safetensors").read_bytes()


def test_records_whose_prompt_fills_the_length_are_refused(small_llama: Path, records: Path, tmp_path: Path) -> None:
    config = small_cell(small_llama, records, tmp_path, "data.max_length_tokens=16")
    with pytest.raises(UserError, match="leaves no response token in any of"):
        run_cell(config)
