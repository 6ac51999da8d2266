"""Ranks: who this process is, and starting and ending the process group that torchrun set up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist

from bioinstruct.config import TrainerConfig
from bioinstruct.config.schema import Accelerator
from bioinstruct.errors import PrerequisiteError, UserError


@dataclass(frozen=True)
class Place:
    """This process among the ranks of its run."""

    rank: int
    world_size: int
    device: torch.device


def choose_device(trainer: TrainerConfig, *, local_rank: int = 0) -> torch.device:
    """The device of this process; PrerequisiteError if a GPU is asked for and there is none."""
    if trainer.accelerator is Accelerator.cpu:
        return torch.device("cpu")
    if torch.cuda.is_available() and local_rank < torch.cuda.device_count():
        return torch.device("cuda", local_rank)
    if trainer.accelerator is Accelerator.gpu or torch.cuda.is_available():
        raise PrerequisiteError(
            f"trainer.accelerator={trainer.accelerator.value}: process {local_rank} of this node needs a GPU and "
            f"{torch.cuda.device_count()} are visible; set trainer.devices, or trainer=cpu"
        )
    return torch.device("cpu")


@contextmanager
def process_group(trainer: TrainerConfig) -> Iterator[Place]:
    """This process's place, in a process group when there are several ranks (gloo on CPU, nccl on GPU).

    Raises UserError when the number of ranks is not trainer.devices * trainer.num_nodes.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    wanted = trainer.devices * trainer.num_nodes
    if world_size != wanted:
        raise UserError(
            f"{world_size} processes were started, and trainer.devices={trainer.devices} times "
            f"trainer.num_nodes={trainer.num_nodes} asks for {wanted}; start through torchrun with as many"
        )
    device = choose_device(trainer, local_rank=int(os.environ.get("LOCAL_RANK", "0")))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if world_size == 1:
        yield Place(0, 1, device)
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Place(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()


def barrier() -> None:
    """Waits for the other ranks, where there are any."""
    if dist.is_initialized():
        dist.barrier()
