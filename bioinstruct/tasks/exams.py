"""Examination questions with lettered options: MedQA-USMLE, MedMCQA, the medical subjects of MMLU."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bioinstruct.errors import UserError
from bioinstruct.tasks import reading
from bioinstruct.tasks.base import Example, Layout, Task
from bioinstruct.tasks.choice import LETTERS, lettered, lettered_prompts, render_choice, score_choice

PROTOCOLS = ("lm_eval", "alpaca")
FURTHER_PROTOCOLS = ("lm_eval_text", "alpaca_generate", "mirage")

MMLU_SUBJECTS = (
    "anatomy",
    "clinical_knowledge",
    "college_biology",
    "college_medicine",
    "medical_genetics",
    "professional_medicine",
)
"""The six subjects of MIRAGE (Xiong et al. 2024) and of the MedQA literature since Med-PaLM."""

BENCHMARK = "mirage/benchmark.json"


def content_id(question: str, options: Sequence[str]) -> str:
    """Identity of a question that has none in its file: 16 hex digits over question and options."""
    return hashlib.sha256("\x1f".join((question, *options)).encode()).hexdigest()[:16]


def lettered_options(record: reading.Row, *, place: str) -> tuple[str, ...]:
    """Option texts of an object A, B, C, …; UserError where a letter is missing or out of order."""
    options = reading.object_field(record, "options", place=place)
    if tuple(options) != LETTERS[: len(options)] or len(options) < 2:
        raise UserError(f"{place}: options are {', '.join(options) or 'none'}; expected A, B, … in order")
    return tuple(reading.text_field(options, letter, place=place) for letter in options)


def read_medqa(paths: Sequence[Path]) -> list[Example]:
    """Records of phrases_no_exclude_*.jsonl: question, options by letter, answer, answer_idx."""
    examples = []
    for place, record in reading.json_lines(paths[0]):
        question = reading.text_field(record, "question", place=place)
        options = lettered_options(record, place=place)
        target = reading.choice_field(record, "answer_idx", LETTERS[: len(options)], place=place)
        if options[target] != reading.text_field(record, "answer", place=place):
            raise UserError(f"{place}: answer_idx {LETTERS[target]} and answer {record['answer']!r} disagree")
        examples.append(Example(content_id(question, options), question, options=options, target=target))
    return examples


def read_medqa_hub(paths: Sequence[Path]) -> list[Example]:
    """Records of GBaker/MedQA-USMLE-4-options-hf: sent1, ending0–3, label."""
    examples = []
    for place, record in reading.json_lines(paths[0]):
        question = reading.text_field(record, "sent1", place=place)
        options = tuple(reading.text_field(record, f"ending{k}", place=place) for k in range(4))
        target = _index_field(record, "label", lowest=0, place=place)
        examples.append(Example(content_id(question, options), question, options=options, target=target))
    return examples


def read_medmcqa(paths: Sequence[Path]) -> list[Example]:
    """Records of the official dev.json (one object a line): question, opa–opd, cop from 1 to 4."""
    return [_medmcqa_example(row, lowest=1, place=place) for place, row in reading.json_lines(paths[0])]


def read_medmcqa_hub(paths: Sequence[Path]) -> list[Example]:
    """Records of openlifescienceai/medmcqa (Parquet): as the official file, but cop from 0 to 3."""
    return [_medmcqa_example(row, lowest=0, place=place) for place, row in reading.parquet_rows(paths[0])]


def read_mirage(paths: Sequence[Path], *, dataset: str) -> list[Example]:
    """One part of MIRAGE's benchmark.json: id → question, options by letter, answer."""
    benchmark = reading.read_json(paths[0])
    if not isinstance(benchmark, dict) or dataset not in benchmark:
        held = ", ".join(benchmark) if isinstance(benchmark, dict) else "no object"
        raise UserError(f"{paths[0]} has no part {dataset!r} (it has {held}); get the full benchmark.json")
    examples = []
    for key, place, record in reading.json_records(paths[0], benchmark[dataset]):
        options = lettered_options(record, place=place)
        target = reading.choice_field(record, "answer", LETTERS[: len(options)], place=place)
        question = reading.text_field(record, "question", place=place)
        examples.append(Example(key, question, options=options, target=target, group=key.rpartition("-")[0]))
    return examples


def read_mmlu(paths: Sequence[Path]) -> list[Example]:
    """The original <subject>_<split>.csv files without header: question, four options, letter."""
    examples = []
    for path in paths:
        subject = path.stem.rpartition("_")[0]
        for number, (place, fields) in enumerate(reading.csv_fields(path)):
            if len(fields) != 6 or not all(field.strip() for field in fields) or fields[5] not in LETTERS[:4]:
                raise UserError(
                    f"{place}: expected question, four options and a letter A–D, found {len(fields)} fields"
                )
            target = LETTERS.index(fields[5])
            examples.append(
                Example(
                    f"{subject}-{number:03d}",
                    fields[0],
                    options=tuple(fields[1:5]),
                    target=target,
                    group=subject,
                )
            )
    return examples


def _medmcqa_example(record: reading.Row, *, lowest: int, place: str) -> Example:
    question = reading.text_field(record, "question", place=place)
    options = tuple(reading.text_field(record, key, place=place) for key in ("opa", "opb", "opc", "opd"))
    target = _index_field(record, "cop", lowest=lowest, place=place)
    return Example(reading.text_field(record, "id", place=place), question, options=options, target=target)


def _index_field(record: reading.Row, key: str, *, lowest: int, place: str) -> int:
    value = record.get(key)
    if not isinstance(value, int) or not lowest <= value < lowest + 4:
        raise UserError(f"{place}: {key} is {value!r}; allowed: {lowest} to {lowest + 3}")
    return value - lowest


def medqa_context(example: Example) -> str:
    """lm-evaluation-harness 0.4.13, medqa/preprocess_medqa.py."""
    return f"Question: {example.question}\n{lettered(example.options)}\nAnswer:"


def medmcqa_context(example: Example) -> str:
    """lm-evaluation-harness 0.4.13, medmcqa/utils_medmcqa.py."""
    return f"Question: {example.question}\nChoices:\n{lettered(example.options)}\nAnswer:"


def mmlu_context(example: Example) -> str:
    """lm-evaluation-harness 0.4.13, mmlu/default: description of the subject, then the question."""
    subject = example.group.replace("_", " ")
    return (
        f"The following are multiple choice questions (with answers) about {subject}.\n\n"
        f"{example.question.strip()}\n{lettered(example.options)}\nAnswer:"
    )


def _mmlu_files(split: str) -> tuple[str, ...]:
    return tuple(f"mmlu/{split}/{subject}_{split}.csv" for subject in MMLU_SUBJECTS)


MEDQA = Task(
    name="medqa",
    family="qa",
    kind="choice",
    protocols=PROTOCOLS,
    further_protocols=FURTHER_PROTOCOLS,
    splits={
        "test": (
            Layout(("medqa/phrases_no_exclude_test.jsonl",), read_medqa),
            Layout(("hub/GBaker/MedQA-USMLE-4-options-hf/test.json",), read_medqa_hub),
        ),
        "dev": (
            Layout(("medqa/phrases_no_exclude_dev.jsonl",), read_medqa),
            Layout(("hub/GBaker/MedQA-USMLE-4-options-hf/dev.json",), read_medqa_hub),
        ),
        "train": (
            Layout(("medqa/phrases_no_exclude_train.jsonl",), read_medqa),
            Layout(("hub/GBaker/MedQA-USMLE-4-options-hf/train.json",), read_medqa_hub),
        ),
    },
    how_to_get=(
        "Free (MIT): data_clean/questions/US/4_options/phrases_no_exclude_{train,dev,test}.jsonl of the "
        "archive linked "
        "at https://github.com/jind11/MedQA go into medqa/ below the data root; or run `hf download "
        "--repo-type "
        "dataset GBaker/MedQA-USMLE-4-options-hf --local-dir <data root>/hub/GBaker/MedQA-USMLE-4-options-hf`"
    ),
    render=partial(render_choice, prompts=lettered_prompts(medqa_context)),
    score=score_choice,
    max_new_tokens=64,
    shots_split="train",
)

MEDMCQA = Task(
    name="medmcqa",
    family="qa",
    kind="choice",
    protocols=PROTOCOLS,
    further_protocols=FURTHER_PROTOCOLS,
    splits={
        "dev": (
            Layout(("medmcqa/dev.json",), read_medmcqa),
            Layout((BENCHMARK,), partial(read_mirage, dataset="medmcqa")),
            Layout(("hub/openlifescienceai/medmcqa/data/validation-00000-of-00001.parquet",), read_medmcqa_hub),
        ),
        "train": (
            Layout(("medmcqa/train.json",), read_medmcqa),
            Layout(("hub/openlifescienceai/medmcqa/data/train-00000-of-00001.parquet",), read_medmcqa_hub),
        ),
    },
    how_to_get=(
        "Free (MIT): dev.json of the archive linked at https://github.com/medmcqa/medmcqa goes into "
        "medmcqa/, or "
        "benchmark.json of https://github.com/Teddy-XiongGZ/MIRAGE into mirage/ below the data root; the "
        "test part "
        "is unlabelled, so dev is what everybody reports"
    ),
    render=partial(render_choice, prompts=lettered_prompts(medmcqa_context)),
    score=score_choice,
    max_new_tokens=64,
    shots_split="train",
)

MMLU_MEDICAL = Task(
    name="mmlu_medical",
    family="qa",
    kind="choice",
    protocols=PROTOCOLS,
    further_protocols=FURTHER_PROTOCOLS,
    splits={
        "test": (
            Layout(_mmlu_files("test"), read_mmlu),
            Layout((BENCHMARK,), partial(read_mirage, dataset="mmlu")),
        ),
        "dev": (Layout(_mmlu_files("dev"), read_mmlu),),
    },
    how_to_get=(
        "Free (MIT): test/ and dev/ of the archive linked at https://github.com/hendrycks/test go into "
        "mmlu/, or "
        "benchmark.json of https://github.com/Teddy-XiongGZ/MIRAGE into mirage/ below the data root"
    ),
    render=partial(render_choice, prompts=lettered_prompts(mmlu_context)),
    score=score_choice,
    max_new_tokens=64,
    shots_split="dev",
)
