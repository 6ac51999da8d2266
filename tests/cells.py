"""Helpers of the tests that run whole cells: a few hand-made records and a configuration that takes seconds."""

from __future__ import annotations

import json
from pathlib import Path

from bioinstruct.config import TrainConfig
from tests.test_config import compose_train

NUM_RECORDS = 60


def write_records(folder: Path) -> Path:
    """60 labelled records of our own making, a third each of qa, ie, gen."""
    organs = ["heart", "liver", "kidney", "lung", "spleen", "skin", "brain", "eye", "ear", "colon"]
    rows = []
    for number in range(NUM_RECORDS):
        organ, category = organs[number % 10], ("qa", "ie", "gen")[number % 3]
        text = f"Visit {number}: the {organ} was examined."
        instruction = {"qa": "Which organ?", "ie": "List the organs.", "gen": "Write a line."}[category]
        rows.append({"instruction": instruction, "input": text, "output": f"The {organ}.", "category": category})
    path = folder / "records.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def small_cell(model: Path, records: Path, output: Path, *overrides: str) -> TrainConfig:
    """A cell of 14 optimizer steps on the small LLaMA, without evaluation unless asked for."""
    return compose_train(
        "model=local",
        f"model.path={model}",
        "model.name=small",
        "model.dtype=float32",
        "lora=all_linear",
        "lora.rank=4",
        "lora.dropout=0.1",
        "template=short",
        "data=local",
        f"data.path={records}",
        "data.max_length_tokens=128",
        "data.validation_fraction=0.1",
        "tasks=tiny",
        "~tasks",
        "optim.records_per_step=8",
        "optim.epochs=2",
        "optim.lr=0.01",
        "trainer=cpu",
        "trainer.tokens_per_batch=256",
        "trainer.checkpoint_every_steps=2",
        "trainer.threads=1",
        f"output_root={output}",
        *overrides,
    )
