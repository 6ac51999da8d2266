"""For notebooks: a task's items, and a run's model as a backend."""

from __future__ import annotations

from pathlib import Path

from bioinstruct.config import load_train_config
from bioinstruct.generation import HfBackend
from bioinstruct.pipeline.evaluation import SharedBase
from bioinstruct.prompts import Template
from bioinstruct.runs import find_run
from bioinstruct.scoring import prepare_task
from bioinstruct.tasks import get_task
from bioinstruct.tasks.base import Item


def task_items(
    task: str,
    *,
    root: Path | str,
    template: Template,
    split: str | None = None,
    protocol: str | None = None,
    limit: int | None = None,
) -> list[Item]:
    """The items of a task as a model sees them: id, context, continuations or reference, target.

    Without `split` and `protocol` the task's first ones are taken. Raises UserError for an unknown name and
    PrerequisiteError, with the way to get them, where the task's files are missing below `root`.
    """
    chosen = get_task(task)
    prepared = prepare_task(
        chosen,
        root=Path(root),
        split=split or next(iter(chosen.splits)),
        protocol=protocol or chosen.protocols[0],
        template=template,
        limit=limit,
    )
    return list(prepared.items)


def load_run(run_id: str, *, output_root: Path | str = "outputs") -> tuple[HfBackend, Template]:
    """(backend, template) of a run: its model, with its adapter where it is tuned, and the prompt it knows."""
    folder = find_run(Path(output_root), run_id)
    config = load_train_config(folder.config_file)
    return SharedBase().backend(config, folder, config.trainer), config.template
