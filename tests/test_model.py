"""Loading: folders, the Hub's cache layout without a network, quantised bases, and clear messages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bioinstruct.config import ModelConfig
from bioinstruct.config.schema import Dtype
from bioinstruct.corpus import load_record_set
from bioinstruct.errors import PrerequisiteError, UserError
from bioinstruct.model import load_base, model_identity, model_path
from bioinstruct.pipeline import run_cell
from bioinstruct.runs import RunFolder
from tests.cells import small_cell, write_records
from tests.small_model import save_small_llama
from tests.test_config import compose_train

REVISION = "0123456789abcdef0123456789abcdef01234567"


def put_into_hub_cache(home: Path, files: list[Path], *, kind: str, repository: str) -> None:
    """Lays files out as huggingface_hub caches a repository."""
    snapshot = home / "hub" / f"{kind}--{repository.replace('/', '--')}" / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    for file in files:
        shutil.copy(file, snapshot / file.name)


def test_a_cached_hub_model_loads_without_a_network(small_llama: Path, tmp_path: Path) -> None:
    put_into_hub_cache(tmp_path, list(small_llama.iterdir()), kind="models", repository="owner/small")
    program = (
        "import torch; from bioinstruct.config import ModelConfig\n"
        "from bioinstruct.model import load_base, load_tokenizer\n"
        f"model = ModelConfig(name='small', path='owner/small', revision='{REVISION}')\n"
        "base = load_base(model, device=torch.device('cpu'))\n"
        "print(base.dtype, base.config.hidden_size, len(load_tokenizer(model)), base.training)"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert result.stdout.strip() == "torch.bfloat16 32 259 False"


def test_the_cached_hub_dataset_is_read_at_its_revision(tmp_path: Path) -> None:
    records = write_records(tmp_path)
    file = records.rename(tmp_path / "biomed_instruct_25k.json")
    put_into_hub_cache(tmp_path, [file], kind="datasets", repository="bio-nlp-umass/bioinstruct")
    program = (
        "from tests.test_config import compose_train; from bioinstruct.corpus import load_record_set\n"
        f"data = compose_train('model=tiny', 'data=bioinstruct', 'data.revision={REVISION}').data\n"
        "print(len(load_record_set(data).records))"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=root)
    assert result.stdout.strip() == "60"


def test_a_checkpoint_that_cannot_be_had_names_the_three_ways() -> None:
    model = compose_train("model=llama2_7b").model
    with pytest.raises(PrerequisiteError) as error:
        load_base(model, device=torch.device("cpu"))
    for way in ("hf auth login", "model=local model.path=", "another model=<option>"):
        assert way in str(error.value)


def test_a_dataset_that_cannot_be_had_says_how_to_bring_it() -> None:
    with pytest.raises(PrerequisiteError, match=r"data=local data\.path="):
        load_record_set(compose_train("model=tiny").data)


def test_a_missing_folder_and_an_unpinned_repository_are_refused() -> None:
    with pytest.raises(PrerequisiteError, match="no such folder"):
        model_path(ModelConfig(name="x", path="/nowhere/at/all"))
    with pytest.raises(UserError, match="pin a commit"):
        model_path(ModelConfig(name="x", path="owner/name"))


def test_a_folder_is_identified_by_its_content(small_llama: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(small_llama, copy)
    model, other = (ModelConfig(name="x", path=str(p), dtype=Dtype.float32) for p in (small_llama, copy))
    assert model_identity(model) == model_identity(other)
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert model_identity(model) != model_identity(other)


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_a_quantised_base_trains_on_the_cpu(tmp_path: Path, quantization: str) -> None:
    """Validation stands between the steps: it must not leave the quantised weights changed."""
    model = save_small_llama(tmp_path / "model", width=64)
    overrides = ("optim.max_steps=8", f"model.quantization={quantization}", "optim.lr=0.05")
    config = small_cell(model, write_records(tmp_path), tmp_path, *overrides, "optim.validations_per_epoch=7")
    folder = RunFolder(run_cell(config))
    losses = [float(line.split(",")[2]) for line in folder.metrics_file.read_text().splitlines()[1:]]
    assert folder.is_trained()
    assert losses[-1] < losses[0]
