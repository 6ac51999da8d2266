"""The embedded study: a fictional formulary, its records and tasks, and a tiny LLaMA that has read about it.

Every drug, condition and fact is invented: nothing here is medical advice. No torch is imported.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bioinstruct.tasks.base import Example

MODEL_FOLDER: Path = Path(__file__).parent / "model"
"""The pre-trained tiny LLaMA and its tokenizer, a transformers folder; experiments/tiny_base rebuilds it."""

TASKS: tuple[str, ...] = ("tiny_qa", "tiny_ie", "tiny_gen")


def tiny_records(seed: int = 0) -> list[dict[str, str]]:
    """The records (instruction, input, output, category) of one draw; the world stays the same."""
    from bioinstruct.tiny.instructions import make_records

    return make_records(seed)


def tiny_examples(task: str, split: str) -> list[Example]:
    """The examples of one of TASKS on the held-out entities of `dev` or `test`.

    A prompt is the template with `instruction=example.question` and `input_text=example.source`; the options
    of tiny_qa are compared as they stand, without letters. Raises UserError for an unknown task or split.
    """
    # Imported here: bioinstruct.tasks registers these tasks, so it imports this package.
    from bioinstruct.tiny.evaluation import make_examples

    return make_examples(task, split)
