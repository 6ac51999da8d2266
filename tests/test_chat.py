"""A chat answers piped lines with the tuned model and its base, and leaves cleanly."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module

from bioinstruct.config import TrainConfig, register_schemas, typed_config
from bioinstruct.config.export import ChatConfig
from bioinstruct.errors import UserError
from bioinstruct.notebook import load_run
from bioinstruct.pipeline import run_cell
from bioinstruct.pipeline.chatting import Turn, open_chat, read_turns
from bioinstruct.prompts import render_prompt
from tests.cells import small_cell, write_records

TURN = Turn("Which organ?", "Visit 3: the lung was examined.")


@pytest.fixture(scope="module")
def cell(small_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, TrainConfig]:
    """(run id, configuration) of a tuned cell."""
    folder = tmp_path_factory.mktemp("cell")
    overrides = ("optim.max_steps=2", "optim.lr=0.1", "optim.warmup_fraction=0")
    config = small_cell(small_llama, write_records(folder), folder / "outputs", *overrides)
    return run_cell(config).name, config


def chat_config(*overrides: str) -> ChatConfig:
    register_schemas()
    fixed = ["trainer=cpu", "trainer.threads=1", "max_new_tokens=12", *overrides]
    with initialize_config_module("bioinstruct.conf", version_base="1.3"):
        return typed_config(compose("chat", overrides=fixed), ChatConfig)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bioinstruct.chat", "trainer=cpu", "trainer.threads=1", *arguments]


def test_lines_become_instructions_and_an_input_goes_to_the_next_one(caplog: pytest.LogCaptureFixture) -> None:
    lines = [
        "Which organ?\n",
        "\n",
        "/input  the lung / left \n",
        "Where?\n",
        "/inptu x\n",
        "And  now? \n",
        "/input end\n",
    ]
    with caplog.at_level(logging.WARNING):
        turns = list(read_turns(lines))
    assert turns == [("Which organ?", ""), ("Where?", "the lung / left"), ("And  now?", "")]
    assert caplog.messages == ["/inptu is unknown; known: /input <text>, for the instruction that follows"]


def test_tuned_and_base_answer_as_they_do_in_evaluation(cell: tuple[str, TrainConfig]) -> None:
    run_id, config = cell
    chat, template = open_chat(chat_config(f"run={run_id}", f"output_root={config.output_root}"))
    answers = chat.answers(TURN, template)
    backend, _ = load_run(run_id, output_root=config.output_root)
    prompt = render_prompt(config.template, instruction=TURN.instruction, input_text=TURN.input_text)
    assert answers["tuned"] == backend.generate([prompt], max_new_tokens=12, stop=config.template.stop)[0]
    alone, short = open_chat(
        chat_config("model=local", f"model.path={config.model.path}", "model.dtype=float32", "template=short")
    )
    assert alone.answers(TURN, short) == {"base": answers["base"]}
    assert answers["base"].text != answers["tuned"].text


def test_the_base_can_be_left_out(cell: tuple[str, TrainConfig]) -> None:
    run_id, config = cell
    asked = chat_config(f"run={run_id}", f"output_root={config.output_root}", "compare_base=false")
    chat, template = open_chat(asked)
    assert list(chat.answers(TURN, template)) == ["tuned"]


def test_drawn_answers_follow_the_seed_and_go_to_the_greedy_one_when_cold(cell: tuple[str, TrainConfig]) -> None:
    run_id, config = cell
    here = (f"run={run_id}", f"output_root={config.output_root}")

    def answers(*overrides: str) -> list[str]:
        chat, template = open_chat(chat_config(*here, *overrides))
        return [answer.text for answer in chat.answers(TURN, template).values()]

    warm = answers("temperature=2", "seed=1")
    assert warm == answers("temperature=2", "seed=1")
    assert warm != answers("temperature=2", "seed=2")
    assert answers("temperature=1e-4") == answers()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), "give exactly one of run=<run_id> and model=<option>"),
        (("model=tiny", "run=x"), "give exactly one of"),
        (("model=tiny", "temperature=-1"), "temperature=-1.0 is out of range; allowed: >= 0"),
        (("model=tiny", "max_new_tokens=0"), "max_new_tokens=0 is out of range; allowed: >= 1"),
    ],
)
def test_bad_values_are_refused(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        chat_config(*overrides)


def test_an_answer_longer_than_the_context_is_refused_before_the_model_loads() -> None:
    with pytest.raises(UserError, match="max_new_tokens=64 leaves no room for a prompt; allowed: below"):
        open_chat(chat_config("model=local", "model.path=/none", "model.context_tokens=64", "max_new_tokens=64"))


def test_piped_lines_are_answered_one_by_one(cell: tuple[str, TrainConfig]) -> None:
    run_id, config = cell
    lines = "Which organ?\n/input the lung\nList the organs.\n"
    arguments = command(f"run={run_id}", f"output_root={config.output_root}", "max_new_tokens=4")
    result = subprocess.run(arguments, input=lines, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    shown = [line.split() for line in result.stdout.splitlines() if line.strip()]
    assert [line for line in shown if line[0] == ">"] == [[">", "Which", "organ?"], [">", "List", "the", "organs."]]
    assert shown.count(["base", "tuned"]) == 2
    assert f"{run_id}: small, tuned on all, template short" in result.stderr


def test_control_c_leaves_without_a_traceback(cell: tuple[str, TrainConfig]) -> None:
    run_id, config = cell
    process = subprocess.Popen(
        command(f"run={run_id}", f"output_root={config.output_root}", "max_new_tokens=4"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("Which organ?\n")
    process.stdin.flush()
    assert process.stdout.readline().strip() == "> Which organ?"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in errors
