"""Trying a model by hand: one instruction at a time, answered with the adapter and without it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bioinstruct.config import ModelConfig, load_train_config
from bioinstruct.config.compose import category_label
from bioinstruct.config.export import ChatConfig
from bioinstruct.distributed import choose_device
from bioinstruct.encoding import encode_text
from bioinstruct.errors import UserError
from bioinstruct.generation import HfBackend, eos_token_ids
from bioinstruct.model import load_adapter, load_base, load_tokenizer
from bioinstruct.pipeline.exporting import require_trained
from bioinstruct.prompts import Template, render_prompt
from bioinstruct.runs import find_run
from bioinstruct.stopping import Stopper
from bioinstruct.tasks.base import Generation

logger = logging.getLogger(__name__)

INPUT_COMMAND = "/input"


class Turn(NamedTuple):
    """What a user asks."""

    instruction: str
    input_text: str


def read_turns(lines: Iterable[str]) -> Iterator[Turn]:
    """The instructions of lines, one each; a line `/input text` gives the next instruction its input.

    Another line that begins with a slash is a mistake: it is named in the log and not asked.
    """
    input_text = ""
    for line in map(str.strip, lines):
        word, _, rest = line.partition(" ")
        if word == INPUT_COMMAND:
            input_text = rest.strip()
        elif line.startswith("/"):
            logger.warning("%s is unknown; known: %s <text>, for the instruction that follows", word, INPUT_COMMAND)
        elif line:
            yield Turn(line, input_text)
            input_text = ""


class Chat:
    """A loaded model that answers instructions in the prompt it knows."""

    def __init__(self, model: PreTrainedModel | PeftModel, model_config: ModelConfig, config: ChatConfig) -> None:
        self._model = model
        self._tokenizer: PreTrainedTokenizerBase = load_tokenizer(model_config)
        self._context_tokens = model_config.context_tokens
        self._config = config
        self._backend = HfBackend(
            model,
            self._tokenizer,
            fingerprint="chat",
            max_length_tokens=model_config.context_tokens,
            batch_tokens=config.trainer.evaluation_tokens_per_batch,
        )

    def answers(self, turn: Turn, template: Template) -> dict[str, Generation]:
        """The answers by who gives them: `base`, `tuned`."""
        prompt = render_prompt(template, instruction=turn.instruction, input_text=turn.input_text)
        if not isinstance(self._model, PeftModel):
            return {"base": self._answer(prompt, template)}
        found: dict[str, Generation] = {}
        if self._config.compare_base:
            with self._model.disable_adapter():
                found["base"] = self._answer(prompt, template)
        return {**found, "tuned": self._answer(prompt, template)}

    def _answer(self, prompt: str, template: Template) -> Generation:
        if self._config.temperature > 0:
            return self._draw(prompt, template)
        max_new_tokens = self._config.max_new_tokens
        return self._backend.generate([prompt], max_new_tokens=max_new_tokens, stop=template.stop)[0]

    @torch.no_grad()
    def _draw(self, prompt: str, template: Template) -> Generation:
        """An answer drawn at random from the whole distribution at the configured temperature."""
        base = self._model.get_base_model() if isinstance(self._model, PeftModel) else self._model
        room = self._context_tokens - self._config.max_new_tokens
        encoded = encode_text(self._tokenizer, prompt.rstrip(" "))
        ids = torch.tensor([encoded[-room:]], device=base.device)  # (1, T)
        eos = eos_token_ids(base, self._tokenizer)
        tokens = base.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            temperature=self._config.temperature,
            top_k=0,
            top_p=1.0,
            max_new_tokens=self._config.max_new_tokens,
            eos_token_id=sorted(eos),
            pad_token_id=min(eos, default=0),
            use_cache=True,
            **({"stop_strings": list(template.stop), "tokenizer": self._tokenizer} if template.stop else {}),
        )
        stopper = Stopper(self._tokenizer, template.stop, eos_token_ids=eos)
        return stopper.finish(tokens[0, ids.shape[1] :].tolist(), num_truncated_tokens=max(len(encoded) - room, 0))


def open_chat(config: ChatConfig) -> tuple[Chat, Template]:
    """(chat, template) of a run's model, or of an untuned one.

    Raises PrerequisiteError for a run that is not there or not trained, UserError where `max_new_tokens` leaves no
    room for a prompt.
    """
    torch.manual_seed(config.seed)
    if config.trainer.threads is not None:
        torch.set_num_threads(config.trainer.threads)
    device = choose_device(config.trainer)
    if config.run is None:
        assert config.model is not None  # held by the checks of ChatConfig
        _check_room(config, config.model)
        return Chat(load_base(config.model, device=device), config.model, config), config.template
    folder = find_run(Path(config.output_root), config.run)
    cell = load_train_config(folder.config_file)
    _check_room(config, cell.model)
    label = category_label(cell.category)
    if label != "none":
        require_trained(folder)
    model: PreTrainedModel | PeftModel = load_base(cell.model, device=device)
    if label != "none":
        model = load_adapter(model, folder.adapter)
    logger.info("%s: %s, tuned on %s, template %s", folder.run_id, cell.model.name, label, cell.template.name)
    return Chat(model, cell.model, config), cell.template


def _check_room(config: ChatConfig, model: ModelConfig) -> None:
    if config.max_new_tokens >= model.context_tokens:
        raise UserError(
            f"max_new_tokens={config.max_new_tokens} leaves no room for a prompt; allowed: below the model's "
            f"context_tokens={model.context_tokens}"
        )
