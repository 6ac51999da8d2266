"""What both launchers share: the cells of a Hydra multirun, and the devices they are meant for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hydra.core.utils import setup_globals
from hydra.types import HydraContext
from omegaconf import DictConfig

from bioinstruct.config import TrainConfig
from bioinstruct.errors import PrerequisiteError, UserError
from bioinstruct.launcher.cells import Cell, Draft, compose_drafts, plan_drafts, unique_cells
from bioinstruct.launcher.devices import Devices, count_cores, cpu_devices, find_gpus, gpu_devices


@dataclass(frozen=True)
class Multirun:
    """A composed multirun: the folder of its sweep and its jobs."""

    folder: Path
    drafts: list[Draft]

    @property
    def runs_root(self) -> Path:
        return Path(self.drafts[0].config.output_root) / "train"


@dataclass(frozen=True)
class Sweep:
    """A multirun ready to start: every cell composed, checked and planned."""

    folder: Path
    cells: list[Cell]
    devices: Devices

    @property
    def runs_root(self) -> Path:
        return self.cells[0].plan.folder.parent


def compose_multirun(
    hydra_context: HydraContext,
    config: DictConfig,
    *,
    job_overrides: Sequence[Sequence[str]],
    initial_job_idx: int,
) -> Multirun:
    """The typed jobs of a Hydra multirun. Raises UserError for all jobs that are wrong, in one message."""
    if initial_job_idx or config.hydra.sweeper.get("max_batch_size") is not None:
        raise UserError("hydra.sweeper.max_batch_size does not work here; hydra.launcher.slots limits cells")
    setup_globals()
    folder = Path(config.hydra.sweep.dir)
    drafts = compose_drafts(hydra_context, config, job_overrides=job_overrides, sweep_name=folder.name)
    return Multirun(folder, drafts)


def place_sweep(
    multirun: Multirun, *, gpus_per_cell: int | None, slots: int | None, environment: Mapping[str, str]
) -> Sweep:
    """The cells of a multirun and the devices for them; nothing is started or written."""
    drafts = multirun.drafts
    devices = choose_devices([draft.config for draft in drafts], slots=slots, environment=environment)
    placed = [
        replace(draft, config=placed_config(draft.config, devices=devices, gpus_per_cell=gpus_per_cell))
        for draft in drafts
    ]
    return Sweep(multirun.folder, cells=plan_cells(placed), devices=devices)


def plan_cells(drafts: Sequence[Draft]) -> list[Cell]:
    return unique_cells(drafts, plan_drafts(drafts))


def choose_devices(configs: Sequence[TrainConfig], *, slots: int | None, environment: Mapping[str, str]) -> Devices:
    """GPUs where there are any and a cell may use one, else slots of the CPU."""
    cores = count_cores()
    accelerators = {config.trainer.accelerator.value for config in configs}
    gpus = find_gpus(environment) if accelerators != {"cpu"} else ()
    if "gpu" in accelerators and not gpus:
        raise PrerequisiteError(
            "trainer.accelerator=gpu, and no GPU was found by CUDA_VISIBLE_DEVICES or nvidia-smi; "
            "use trainer=cpu, or trainer.accelerator=auto"
        )
    return gpu_devices(gpus, cores=cores) if gpus else cpu_devices(slots, cores=cores)


def placed_config(config: TrainConfig, *, devices: Devices, gpus_per_cell: int | None) -> TrainConfig:
    """A cell's config with the number of devices and threads it will get."""
    trainer = config.trainer
    if trainer.num_nodes != 1:
        raise UserError(f"trainer.num_nodes={trainer.num_nodes}: a cell runs on one node; allowed: 1")
    count = trainer.devices
    if gpus_per_cell is not None and devices.is_gpu:
        if count not in (1, gpus_per_cell):
            raise UserError(
                f"trainer.devices={count} and hydra.launcher.gpus_per_cell={gpus_per_cell} disagree; give one of them"
            )
        count = gpus_per_cell
    if count > len(devices.names):
        kind = "GPUs" if devices.is_gpu else "CPU slots (hydra.launcher.slots)"
        raise UserError(f"a cell asks for {count} devices, and there are {len(devices.names)} {kind}")
    threads = trainer.threads
    if threads is None and not devices.is_gpu:
        threads = devices.threads
    return replace(config, trainer=replace(trainer, devices=count, threads=threads))
