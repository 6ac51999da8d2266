"""A task rendered for one protocol and template: what a backend is asked, and how it is identified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bioinstruct.errors import UserError
from bioinstruct.prompts import Template
from bioinstruct.tasks.base import Example, Item, Task, lowest_ids, protocol_hash
from bioinstruct.tasks.sources import check_sources


@dataclass(frozen=True)
class PreparedTask:
    """A task rendered for one protocol and template: what a backend is asked, and how it is identified."""

    task: Task
    split: str
    protocol: str
    template_name: str
    num_shots: int
    max_new_tokens: int
    stop: tuple[str, ...]
    items: tuple[Item, ...]
    hash: str
    """First 12 hex digits over prompts, targets and decoding; comparisons refuse different ones."""
    files: dict[str, str] = field(default_factory=dict)
    """sha256 of the files that the examples were read from."""

    @property
    def file_stem(self) -> str:
        """Name of the task's prediction and score files, without their endings."""
        return f"{self.task.name}-{self.hash}"


def prepare_task(
    task: Task,
    *,
    root: Path,
    split: str,
    protocol: str,
    template: Template,
    limit: int | None = None,
    num_shots: int = 0,
    max_new_tokens: int | None = None,
) -> PreparedTask:
    """The items of a task, with few-shot examples in front where asked.

    Raises UserError for an unknown protocol or split and for malformed files, PrerequisiteError for missing
    ones.
    """
    known = (*task.protocols, *task.further_protocols)
    if protocol not in known:
        raise UserError(f"task {task.name} has no protocol {protocol!r}; its protocols: {', '.join(known)}")
    examples = task.load(root, split)
    files = check_sources(task, root, split, examples)
    items = task.render(lowest_ids(examples, limit), protocol, template)
    if num_shots:
        shots = shot_examples(task, root, split=split, num_shots=num_shots)
        items = with_shots(items, task.render(shots, protocol, template))
    max_new_tokens = task.new_tokens(protocol) if max_new_tokens is None else max_new_tokens
    digest = protocol_hash(
        task, protocol=protocol, split=split, items=items, max_new_tokens=max_new_tokens, stop=template.stop
    )
    return PreparedTask(
        task=task,
        split=split,
        protocol=protocol,
        template_name=template.name,
        num_shots=num_shots,
        max_new_tokens=max_new_tokens,
        stop=tuple(template.stop),
        items=tuple(items),
        hash=digest,
        files=files,
    )


def with_shots(items: Sequence[Item], shots: Sequence[Item]) -> list[Item]:
    """Items whose context begins with solved examples, blank lines between, as in lm-evaluation-harness."""
    solved = "".join(f"{shot.context}{shot.reference}\n\n" for shot in shots)
    return [replace(item, context=solved + item.context) for item in items]


def shot_examples(task: Task, root: Path, *, split: str, num_shots: int) -> list[Example]:
    """The examples that are solved in the prompt: the lowest ids (by sha256) of the shots split.

    Raises UserError where there is no other split to take them from or where it holds too few.
    """
    if num_shots < 0:
        raise UserError(f"num_shots is {num_shots}; allowed: 0 or more")
    if not task.shots_split or task.shots_split == split:
        raise UserError(f"task {task.name}, split {split} has no other split to take examples from; use num_shots=0")
    examples = lowest_ids(task.load(root, task.shots_split), num_shots)
    if len(examples) < num_shots:
        raise UserError(f"num_shots is {num_shots}; split {task.shots_split} of {task.name} holds {len(examples)}")
    return examples
