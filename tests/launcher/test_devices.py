from __future__ import annotations

from pathlib import Path

import pytest

from bioinstruct.launcher.devices import Devices, cpu_devices, find_gpus, gpu_devices, gpus_of_listing

TWO_GPUS_ONE_SPLIT = """\
GPU 0: NVIDIA H200 (UUID: GPU-11111111-aaaa)
  MIG 3g.71gb     Device  0: (UUID: MIG-22222222-bbbb)
  MIG 3g.71gb     Device  1: (UUID: MIG-33333333-cccc)
GPU 1: NVIDIA H200 (UUID: GPU-44444444-dddd)
"""


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("0,1", ("0", "1")),
        (" 3 , 1 ", ("3", "1")),
        ("MIG-2222,GPU-4444", ("MIG-2222", "GPU-4444")),
        ("", ()),
        ("-1", ()),
        ("0,-1,2", ("0",)),
    ],
)
def test_cuda_visible_devices_decides_and_uuids_stay_as_they_are(visible: str, expected: tuple[str, ...]) -> None:
    assert find_gpus({"CUDA_VISIBLE_DEVICES": visible}) == expected


def test_a_split_gpu_gives_its_instances_and_a_whole_one_itself() -> None:
    assert gpus_of_listing(TWO_GPUS_ONE_SPLIT) == (
        "MIG-22222222-bbbb",
        "MIG-33333333-cccc",
        "GPU-44444444-dddd",
    )


def test_nvidia_smi_is_asked_where_the_variable_is_not_set(tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{TWO_GPUS_ONE_SPLIT}END\n")
    program.chmod(0o755)
    assert len(find_gpus({"PATH": f"{tmp_path}:/usr/bin:/bin"})) == 3
    assert find_gpus({"PATH": "/nowhere"}) == ()


def test_a_lease_names_its_gpus_to_the_cell_and_nobody_else_gets_them(tmp_path: Path) -> None:
    pool = Devices(("GPU-a", "GPU-b", "GPU-c"), is_gpu=True, threads=4, lock_folder=tmp_path)
    lease = pool.lease(2)
    assert lease is not None
    assert lease.environment == {"CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b", "OMP_NUM_THREADS": "4"}
    assert pool.lease(2) is None
    assert pool.free == ["GPU-c"]
    pool.give_back(lease)
    assert pool.free == ["GPU-a", "GPU-b", "GPU-c"]


def test_a_gpu_that_another_launcher_holds_is_passed_over(tmp_path: Path) -> None:
    mine, other = (Devices(("0", "1"), is_gpu=True, threads=1, lock_folder=tmp_path) for _ in range(2))
    first = other.lease(1)
    assert first is not None
    assert mine.lease(2) is None
    second = mine.lease(1)
    assert second is not None
    assert second.devices == ("1",)
    mine.give_back(second)
    other.give_back(first)
    assert mine.lease(2) is not None


def test_cores_are_shared_out_evenly() -> None:
    assert (len(cpu_devices(None, cores=6).names), cpu_devices(None, cores=6).threads) == (6, 1)
    assert cpu_devices(4, cores=6).threads == 1
    assert cpu_devices(2, cores=6).threads == 3
    assert cpu_devices(8, cores=6).threads == 1
    assert gpu_devices(("0", "1"), cores=16).threads == 8
