"""What cells run on: GPUs found without importing torch, or slots of the CPU, leased and given back."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bioinstruct.launcher.locks import try_lock

GPU_LINE = re.compile(r"GPU \d+: .*\(UUID: (?P<uuid>GPU-[^)]+)\)")
MIG_LINE = re.compile(r"\s+MIG .*\(UUID: (?P<uuid>MIG-[^)]+)\)")
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True)
class Lease:
    """Devices held by one cell, and the handles of their locks."""

    devices: tuple[str, ...]
    is_gpu: bool
    threads: int
    """CPU threads for each process of the cell."""
    locks: tuple[int, ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        """What the cell's process must see before it imports torch."""
        return {
            "CUDA_VISIBLE_DEVICES": ",".join(self.devices) if self.is_gpu else "",
            "OMP_NUM_THREADS": str(self.threads),
        }


@dataclass
class Devices:
    """The devices of this node and which of them are free."""

    names: tuple[str, ...]
    is_gpu: bool
    threads: int
    lock_folder: Path | None = None
    """Where GPUs are locked against other launchers on this node; None: no locks."""
    free: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.free = list(self.names)

    def lease(self, count: int) -> Lease | None:
        """The first `count` free devices, or None while there are too few."""
        taken: dict[str, int | None] = {}
        for name in self.free:
            if len(taken) == count:
                break
            handle = self._lock(name)
            if handle is not None or self.lock_folder is None:
                taken[name] = handle
        locks = tuple(handle for handle in taken.values() if handle is not None)
        if len(taken) < count:
            close_all(locks)
            return None
        self.free = [name for name in self.free if name not in taken]
        return Lease(tuple(taken), is_gpu=self.is_gpu, threads=self.threads, locks=locks)

    def give_back(self, lease: Lease) -> None:
        """Makes the devices of a lease free again, in their first order."""
        close_all(lease.locks)
        self.free = [name for name in self.names if name in self.free or name in lease.devices]

    def _lock(self, name: str) -> int | None:
        if self.lock_folder is None:
            return None
        return try_lock(self.lock_folder / f"{re.sub(r'[^A-Za-z0-9-]', '_', name)}.lock")


def close_all(handles: tuple[int, ...]) -> None:
    for handle in handles:
        os.close(handle)


def find_gpus(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the GPUs this process may use, as CUDA_VISIBLE_DEVICES takes them.

    CUDA_VISIBLE_DEVICES decides where it is set (MIG uuids stay as they are; empty or -1: none), else
    `nvidia-smi -L`; a GPU that is split gives its MIG instances.
    """
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",")]
        # CUDA itself ignores everything from the first invalid entry on.
        valid = names[: next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))]
        return tuple(dict.fromkeys(valid))
    program = shutil.which("nvidia-smi", path=environment.get("PATH"))
    if program is None:
        return ()
    listed = subprocess.run([program, "-L"], capture_output=True, text=True, check=False)
    return gpus_of_listing(listed.stdout) if listed.returncode == 0 else ()


def gpus_of_listing(listing: str) -> tuple[str, ...]:
    """The uuids in the output of `nvidia-smi -L`: MIG instances where a GPU has them, else the GPU."""
    found: list[str] = []
    whole_gpu: str | None = None
    for line in listing.splitlines():
        if gpu := GPU_LINE.match(line):
            whole_gpu = gpu["uuid"]
            found.append(whole_gpu)
        elif mig := MIG_LINE.match(line):
            if found and found[-1] == whole_gpu:
                found.pop()
            found.append(mig["uuid"])
    return tuple(found)


def count_cores() -> int:
    """CPU cores this process may use: its affinity, cut by the quota of its control group."""
    cores = len(os.sched_getaffinity(0))
    if CPU_QUOTA.is_file():
        quota, period = CPU_QUOTA.read_text(encoding="ascii").split()[:2]
        if quota != "max":
            cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def gpu_devices(names: tuple[str, ...], *, cores: int) -> Devices:
    """One device per GPU, locked against other launchers of this user on this node."""
    folder = Path(tempfile.gettempdir()) / f"bioinstruct-gpus-{os.getuid()}"
    return Devices(names, is_gpu=True, threads=max(1, cores // len(names)), lock_folder=folder)


def cpu_devices(slots: int | None, *, cores: int) -> Devices:
    """`slots` shares of the CPU (default: one per core), each with an equal number of threads."""
    number = cores if slots is None else slots
    names = tuple(f"cpu{index}" for index in range(number))
    return Devices(names, is_gpu=False, threads=max(1, cores // number))
