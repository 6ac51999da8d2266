"""README says what is true: its commands compose, its file map names every file, its example runs names that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module

import bioinstruct
from bioinstruct.config import register_schemas

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
HYDRA_FLAGS = {"-m", "--config-dir"}


def commands() -> list[str]:
    blocks = re.findall(r"```\n(.*?)```", README, re.DOTALL)
    return [
        line.split("#")[0].strip() for block in blocks for line in block.splitlines() if line.startswith("bioinstruct-")
    ]


def test_every_command_of_the_readme_composes() -> None:
    found = commands()
    assert len(found) >= 8
    for command in found:
        name, *words = shlex.split(command)
        overrides = [word for word in words if word not in HYDRA_FLAGS]
        register_schemas()
        with initialize_config_module("bioinstruct.conf", version_base="1.3"):
            compose(name.removeprefix("bioinstruct-"), overrides=overrides, return_hydra_config=False)


def test_the_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^make ([a-z-]+)", README, re.MULTILINE))
    assert {"demo", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_file_map_names_every_module_and_package_once() -> None:
    section = README.split("## Where things are")[1].split("\n## ")[0]
    listed = re.findall(r"^- `bioinstruct/([a-z_]+(?:\.py|/))`", section, re.MULTILINE)
    there = [p.name for p in (ROOT / "bioinstruct").glob("*.py") if p.name != "__init__.py"]
    there += [f"{p.name}/" for p in (ROOT / "bioinstruct").iterdir() if (p / "__init__.py").is_file()]
    assert sorted(listed) == sorted(there)


@pytest.mark.parametrize("name", bioinstruct.__all__)
def test_every_public_name_loads_and_is_documented(name: str) -> None:
    assert getattr(bioinstruct, name).__doc__
