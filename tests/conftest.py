"""Shared by all tests: a small seeded LLaMA on disk, and nothing that reaches for a network, a GPU or an account."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.small_model import save_small_llama

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"


@pytest.fixture(scope="session")
def small_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a LLaMA with random weights (seeded), width 32, 2 layers, byte-level tokenizer."""
    return save_small_llama(tmp_path_factory.mktemp("small_llama"))


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder of the public data sets; skips where BIOINSTRUCT_DATA names none."""
    root = os.environ.get("BIOINSTRUCT_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("BIOINSTRUCT_DATA names no folder with the public data sets")
    return Path(root)
