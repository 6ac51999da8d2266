"""Arrows go down: which module may import which, read from the source."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bioinstruct"

LEAVES = ("errors", "config", "runs", "categories", "prompts", "records", "randomness", "curves", "signals")
COMMANDS = ("train", "evaluate", "generate", "categorize", "compare", "describe", "export", "chat")
ONLY_IMPORTER = {"wandb": {"tracking"}, "openai": {"llm_client"}}


def imports_of(path: Path) -> set[str]:
    """Dotted names that a file imports, wherever in the file; TYPE_CHECKING blocks included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def area(path: Path) -> str:
    """The top-level module or package below bioinstruct that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def sources() -> list[Path]:
    found = sorted(PACKAGE.rglob("*.py"))
    assert len(found) > 60
    return found


def test_leaves_never_import_torch_nor_anything_above_them() -> None:
    for path in sources():
        if area(path) not in LEAVES:
            continue
        for name in imports_of(path):
            assert name.split(".")[0] not in {"torch", "transformers", "peft", "pytorch_lightning"}, (path, name)
            if name.startswith("bioinstruct."):
                assert name.split(".")[1] in LEAVES, (path, name)


def test_only_commands_and_launchers_import_the_pipeline() -> None:
    for path in sources():
        if any(name.startswith("bioinstruct.pipeline") or name == "bioinstruct.pipeline" for name in imports_of(path)):
            assert area(path) in {*COMMANDS, "pipeline", "launcher", "notebook", "__init__"}, path


def test_nothing_imports_a_command() -> None:
    for path in sources():
        commands = {f"bioinstruct.{name}" for name in COMMANDS}
        assert not commands & imports_of(path), path


def test_wandb_and_openai_are_imported_in_one_place_each() -> None:
    for library, allowed in ONLY_IMPORTER.items():
        importers = {area(path) for path in sources() if library in {n.split(".")[0] for n in imports_of(path)}}
        assert importers <= allowed, (library, importers)


def test_tasks_metrics_and_statistics_run_without_torch() -> None:
    for path in sources():
        if area(path) in {"tasks", "metrics", "statistics", "scoring", "analysis"}:
            assert not {n.split(".")[0] for n in imports_of(path)} & {"torch", "peft", "pytorch_lightning"}, path
