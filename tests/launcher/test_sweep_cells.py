from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bioinstruct.config import TasksConfig, TrainConfig, TrainerConfig
from bioinstruct.config.schema import Accelerator
from bioinstruct.errors import PrerequisiteError, UserError
from bioinstruct.launcher.cells import CellPlan, Draft, file_label, raise_errors, unique_cells
from bioinstruct.launcher.children import ERROR_LINE
from bioinstruct.launcher.devices import Devices
from bioinstruct.launcher.sweep import choose_devices, placed_config


def draft(category: str, seed: int, **changes: object) -> Draft:
    overrides = ("experiment=slice", f"category={category}", f"seed={seed}")
    return Draft(overrides, replace(TrainConfig(trainer=TrainerConfig(), seed=seed), **changes))  # type: ignore[arg-type]


def plan(run_id: str) -> CellPlan:
    return CellPlan(run_id, "new", num_tokens=0, num_steps=0, folder=Path(run_id))


def test_the_untuned_cell_is_one_cell_though_seeds_are_swept() -> None:
    drafts = [draft("none", 0), draft("none", 1), draft("qa", 0), draft("qa", 1)]
    cells = unique_cells(drafts, [plan(name) for name in ("none-1", "none-1", "qa-s0-1", "qa-s1-1")])
    assert [cell.label for cell in cells] == ["category=none", "category=qa,seed=0", "category=qa,seed=1"]
    assert cells[0].overrides == ("experiment=slice", "category=none")


def test_a_single_cell_is_labelled_by_its_run() -> None:
    assert unique_cells([draft("qa", 0)], [plan("tiny-qa-s0-1")])[0].label == "tiny-qa-s0-1"


def test_one_run_with_two_suites_is_refused() -> None:
    drafts = [draft("qa", 0, tasks=TasksConfig(name=name)) for name in ("a", "b")]
    with pytest.raises(UserError, match="tasks cannot be swept"):
        unique_cells(drafts, [plan("x"), plan("x")])


def test_labels_are_file_names() -> None:
    assert file_label("data.path=/a b/c.json,seed=0") == "data.path=_a_b_c.json,seed=0"


def test_errors_of_all_cells_come_in_one_message_each_named_once() -> None:
    jobs = [("x=1", f"seed={seed}") for seed in range(5)]
    with pytest.raises(UserError) as raised:
        raise_errors([*((job, "no data") for job in jobs[:4]), (jobs[4], "other")], all_overrides=jobs)
    assert str(raised.value) == (
        "5 of 5 cells cannot run, so none was started:\n"
        "  no data [seed=0; seed=1; seed=2; and 1 more]\n"
        "  other [seed=4]"
    )
    raise_errors([], all_overrides=jobs)


CPU = Devices(("cpu0", "cpu1"), is_gpu=False, threads=3)
GPUS = Devices(("0", "1", "2", "3"), is_gpu=True, threads=4)


def config(**trainer: object) -> TrainConfig:
    return TrainConfig(trainer=TrainerConfig(**trainer))  # type: ignore[arg-type]


def test_a_cell_on_the_cpu_gets_the_threads_of_its_slot_unless_it_names_its_own() -> None:
    assert placed_config(config(), devices=CPU, gpus_per_cell=None).trainer.threads == 3
    assert placed_config(config(threads=1), devices=CPU, gpus_per_cell=None).trainer.threads == 1
    assert placed_config(config(), devices=GPUS, gpus_per_cell=None).trainer.threads is None


def test_gpus_per_cell_sets_the_devices_of_each_cell() -> None:
    assert placed_config(config(), devices=GPUS, gpus_per_cell=2).trainer.devices == 2
    assert placed_config(config(devices=2), devices=GPUS, gpus_per_cell=None).trainer.devices == 2
    assert placed_config(config(), devices=CPU, gpus_per_cell=2).trainer.devices == 1


@pytest.mark.parametrize(
    ("trainer", "gpus_per_cell", "message"),
    [
        ({"devices": 4}, 2, "disagree"),
        ({"devices": 5}, None, "asks for 5 devices, and there are 4 GPUs"),
        ({"num_nodes": 2}, None, "one node"),
    ],
)
def test_cells_that_cannot_be_placed_are_refused(
    trainer: dict[str, int], gpus_per_cell: int | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        placed_config(config(**trainer), devices=GPUS, gpus_per_cell=gpus_per_cell)


def test_gpus_are_used_unless_every_cell_asks_for_the_cpu() -> None:
    visible = {"CUDA_VISIBLE_DEVICES": "0,1"}
    auto, cpu, gpu = (config(accelerator=kind) for kind in (Accelerator.auto, Accelerator.cpu, Accelerator.gpu))
    assert choose_devices([auto, cpu], slots=None, environment=visible).names == ("0", "1")
    assert choose_devices([cpu], slots=3, environment=visible).names == ("cpu0", "cpu1", "cpu2")
    assert not choose_devices([auto], slots=1, environment={"CUDA_VISIBLE_DEVICES": ""}).is_gpu
    with pytest.raises(PrerequisiteError, match="no GPU was found"):
        choose_devices([gpu], slots=None, environment={"CUDA_VISIBLE_DEVICES": ""})


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("error: data.path is x", "error: data.path is x"),
        ("ValueError: boom", "ValueError: boom"),
        ("[rank1]: torch.OutOfMemoryError: CUDA out of memory", "torch.OutOfMemoryError: CUDA out of memory"),
        ("step 3  loss 2.5", None),
        ("  raise ValueError(x)", None),
    ],
)
def test_error_lines_are_told_from_other_lines(line: str, error: str | None) -> None:
    found = ERROR_LINE.match(line)
    assert (found["error"] if found else None) == error
