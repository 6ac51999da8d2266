"""bioinstruct-chat: ask a tuned run and its base by hand, side by side, or an untuned model alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import hydra
from omegaconf import DictConfig
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bioinstruct.command import log_to_console, run_hydra, user_errors
from bioinstruct.config.export import ChatConfig

if TYPE_CHECKING:
    from bioinstruct.tasks.base import Generation

PIPED_WIDTH = 100


@hydra.main(version_base="1.3", config_path="pkg://bioinstruct.conf", config_name="chat")
def chat(config: DictConfig) -> None:
    """Answers every line of standard input until it ends."""
    with user_errors():
        from bioinstruct.config import typed_config

        typed = typed_config(config, ChatConfig)
        log_to_console()
        try:
            _converse(typed)
        except KeyboardInterrupt:
            print()


def _converse(config: ChatConfig) -> None:
    from bioinstruct.pipeline.chatting import INPUT_COMMAND, open_chat, read_turns

    opened, template = open_chat(config)
    by_hand = sys.stdin.isatty()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
    if by_hand:
        console.print(f"One instruction a line; {INPUT_COMMAND} <text> before it gives it an input; Ctrl-D leaves.")
    for turn in read_turns(_typed_lines() if by_hand else sys.stdin):
        if not by_hand:
            console.print(Text(f"> {turn.instruction}"))
        console.print(_side_by_side(opened.answers(turn, template)))


def _typed_lines() -> Iterator[str]:
    """Lines typed at a prompt, up to Ctrl-D."""
    import readline  # noqa: F401  # arrow keys and history in input()

    while True:
        try:
            yield input("> ")
        except EOFError:
            print()
            return


def _side_by_side(answers: dict[str, Generation]) -> Table:
    table = Table(box=SIMPLE_HEAD, expand=True)
    for name in answers:
        table.add_column(name, ratio=1, overflow="fold")
    table.add_row(*(Text(_shown(answer)) for answer in answers.values()))
    return table


def _shown(answer: Generation) -> str:
    """The answer's text with what the user should know of it."""
    notes = []
    if answer.num_truncated_tokens:
        notes.append(f"[the first {answer.num_truncated_tokens} tokens of the prompt did not fit]")
    if answer.finish == "length":
        notes.append(f"[cut after {answer.num_tokens} tokens; max_new_tokens allows more]")
    return "\n".join([answer.text.strip(), *notes])


def main() -> None:
    run_hydra(chat)


if __name__ == "__main__":
    main()
