"""Evaluates one task with one backend: render, ask what is missing, save, score.

A folder holds per task and protocol `<task>-<protocol hash>.jsonl` (predictions, append-only) and `.json`
(the score, written atomically). Asking again costs nothing; scoring can be repeated on saved predictions
(`replay_task`).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from bioinstruct import score_files
from bioinstruct.errors import UserError
from bioinstruct.metrics.extras import aci_average, extra_estimates, extra_identities
from bioinstruct.predictions import Prediction, append_predictions, prediction_key, read_predictions
from bioinstruct.prompts import Template
from bioinstruct.score_files import read_score
from bioinstruct.tasks import get_task
from bioinstruct.tasks.base import (
    Answer,
    Backend,
    Item,
    Score,
    Task,
    missing_files,
)
from bioinstruct.tasks.prepare import PreparedTask, prepare_task

__all__ = [
    "PreparedTask",
    "evaluate",
    "evaluate_task",
    "missing_files",
    "prepare_task",
    "read_score",
    "replay_task",
]

logger = logging.getLogger(__name__)

CHUNK_ITEMS = 128
"""Items asked of the backend between two writes: what a killed process loses at most."""


def evaluate_task(
    backend: Backend,
    task: Task,
    *,
    root: Path,
    split: str,
    protocol: str,
    template: Template,
    limit: int | None,
    num_shots: int,
    max_new_tokens: int,
    folder: Path,
    extra_metrics: Sequence[str] = (),
) -> Score:
    """The score of a task, from the folder where it is finished, else by asking the backend what is missing.

    `extra_metrics` (see bioinstruct.metrics.extras) are added for tasks that write text.
    """
    prepared = prepare_task(
        task,
        root=root,
        split=split,
        protocol=protocol,
        template=template,
        limit=limit,
        num_shots=num_shots,
        max_new_tokens=max_new_tokens,
    )
    extra_metrics = extra_metrics if task.family == "gen" else ()
    finished = score_files.find_score(
        folder / f"{prepared.file_stem}.json",
        fingerprint=backend.fingerprint,
        extra_metrics=extra_identities(extra_metrics),
    )
    if finished is not None:
        return finished
    path = folder / f"{prepared.file_stem}.jsonl"
    saved = read_predictions(path)
    keys = {item.id: _key(prepared, item, backend.fingerprint) for item in prepared.items}
    missing = [item for item in prepared.items if keys[item.id] not in saved]
    if saved:
        logger.info("%s: %d of %d items saved already", prepared.file_stem, len(keys) - len(missing), len(keys))
    for chunk, answers in _ask(backend, prepared, missing):
        rows = [
            (Prediction(keys[item.id], backend.fingerprint, answer), item)
            for item, answer in zip(chunk, answers, strict=True)
        ]
        append_predictions(path, rows)
        saved.update((row.key, row) for row, _ in rows)
    answers = [saved[keys[item.id]].answer for item in prepared.items]
    return _score_and_save(
        prepared, answers, folder=folder, fingerprint=backend.fingerprint, extra_metrics=extra_metrics
    )


def replay_task(
    task: Task,
    *,
    root: Path,
    split: str,
    protocol: str,
    template: Template,
    limit: int | None,
    num_shots: int,
    max_new_tokens: int,
    folder: Path,
    fingerprint: str | None = None,
    extra_metrics: Sequence[str] = (),
) -> Score:
    """The score of saved predictions, computed again without a model.

    Raises UserError where predictions are missing, or where those of several models are saved and
    `fingerprint` does not choose one.
    """
    prepared = prepare_task(
        task,
        root=root,
        split=split,
        protocol=protocol,
        template=template,
        limit=limit,
        num_shots=num_shots,
        max_new_tokens=max_new_tokens,
    )
    path = folder / f"{prepared.file_stem}.jsonl"
    saved = read_predictions(path)
    known = sorted({prediction.fingerprint for prediction in saved.values()})
    if fingerprint is None and len(known) > 1:
        raise UserError(f"{path} holds predictions of {len(known)} models; choose a fingerprint: {', '.join(known)}")
    chosen = fingerprint or (known[0] if known else "")
    keys = [_key(prepared, item, chosen) for item in prepared.items]
    num_missing = sum(key not in saved for key in keys)
    if num_missing:
        raise UserError(
            f"{path}: {num_missing} of {len(keys)} items have no saved prediction; evaluate with a model first"
        )
    return _score_and_save(
        prepared,
        [saved[key].answer for key in keys],
        folder=folder,
        fingerprint=chosen,
        extra_metrics=extra_metrics,
    )


def evaluate(
    backend: Backend,
    task_name: str,
    *,
    root: Path,
    split: str | None = None,
    protocol: str | None = None,
    template: Template | None = None,
    limit: int | None = None,
) -> Score:
    """The score of a task by any object that follows the Backend protocol; nothing is saved.

    Without `split` and `protocol` the task's first ones are taken. `template` may be left out for protocols
    that use none (lm_eval …).
    """
    task = get_task(task_name)
    protocol = protocol or task.protocols[0]
    if template is None:
        if not protocol.startswith("lm_eval"):
            raise UserError(f"protocol {protocol!r} of task {task_name} renders a template; pass template=")
        template = Template(name="none", with_input="{instruction}{input}", without_input="{instruction}")
    prepared = prepare_task(
        task,
        root=root,
        split=split or next(iter(task.splits)),
        protocol=protocol,
        template=template,
        limit=limit,
    )
    answers: dict[str, Answer] = {}
    for chunk, chunk_answers in _ask(backend, prepared, prepared.items):
        answers.update(zip((item.id for item in chunk), chunk_answers, strict=True))
    return _score(prepared, [answers[item.id] for item in prepared.items])


def _ask(backend: Backend, prepared: PreparedTask, items: Sequence[Item]) -> Iterator[tuple[list[Item], list[Answer]]]:
    """Chunks of items with their answers, longest items first."""
    ordered = sorted(items, key=lambda item: -len(item.context) - max(map(len, item.continuations), default=0))
    with tqdm(total=len(ordered), desc=prepared.task.name, disable=not sys.stdout.isatty()) as progress:
        for start in range(0, len(ordered), CHUNK_ITEMS):
            chunk = ordered[start : start + CHUNK_ITEMS]
            yield chunk, _answers(backend, prepared, chunk)
            progress.update(len(chunk))


def _answers(backend: Backend, prepared: PreparedTask, chunk: Sequence[Item]) -> list[Answer]:
    if not chunk[0].continuations:
        contexts = [item.context for item in chunk]
        texts = backend.generate(contexts, max_new_tokens=prepared.max_new_tokens, stop=prepared.stop)
        return [Answer(item.id, generation=text) for item, text in zip(chunk, texts, strict=True)]
    pairs = [(item.context, continuation) for item in chunk for continuation in item.continuations]
    entries = backend.loglikelihood(pairs)
    if len(entries) != len(pairs):
        raise ValueError(f"the backend answered {len(entries)} of {len(pairs)} pairs")
    position = 0
    answers = []
    for item in chunk:
        stop = position + len(item.continuations)
        answers.append(Answer(item.id, loglikelihoods=tuple(entries[position:stop])))
        position = stop
    return answers


def _key(prepared: PreparedTask, item: Item, fingerprint: str) -> str:
    return prediction_key(
        item,
        fingerprint=fingerprint,
        protocol_hash=prepared.hash,
        max_new_tokens=prepared.max_new_tokens,
        stop=prepared.stop,
    )


def _score(prepared: PreparedTask, answers: Sequence[Answer]) -> Score:
    result = prepared.task.score(prepared.items, answers)
    return Score(
        task=prepared.task.name,
        family=prepared.task.family,
        protocol=prepared.protocol,
        split=prepared.split,
        n=len(prepared.items),
        headline=result.headline,
        reduction=result.reduction,
        metrics=result.metrics,
        baselines=result.baselines,
        items=result.items,
    )


def _with_extras(score: Score, prepared: PreparedTask, answers: Sequence[Answer], names: Sequence[str]) -> Score:
    if not names or score.family != "gen":
        return score
    texts = [answer.generation.text.strip() if answer.generation else "" for answer in answers]
    references = [item.reference.strip() for item in prepared.items]
    metrics = {**score.metrics, **extra_estimates(names, texts, references)}
    average = aci_average(metrics)
    return replace(score, metrics=metrics if average is None else {**metrics, "aci_average": average})


def _score_and_save(
    prepared: PreparedTask,
    answers: Sequence[Answer],
    *,
    folder: Path,
    fingerprint: str,
    extra_metrics: Sequence[str],
) -> Score:
    score = _with_extras(_score(prepared, answers), prepared, answers, extra_metrics)
    num_truncated = sum(_num_truncated_tokens(answer) > 0 for answer in answers)
    if num_truncated:
        logger.warning(
            "%s: %d of %d prompts did not fit and were cut from the left",
            prepared.file_stem,
            num_truncated,
            score.n,
        )
    score_files.write_score(
        folder / f"{prepared.file_stem}.json",
        score,
        provenance={
            "fingerprint": fingerprint,
            "protocol_hash": prepared.hash,
            "template": prepared.template_name,
            "num_shots": prepared.num_shots,
            "max_new_tokens": prepared.max_new_tokens,
            "extra_metrics": [*extra_identities(extra_metrics)],
            "files": {**prepared.files},
            "num_truncated_prompts": num_truncated,
            "num_separate_boundaries": sum(
                any(entry.boundary == "separate" for entry in answer.loglikelihoods) for answer in answers
            ),
        },
    )
    return score


def _num_truncated_tokens(answer: Answer) -> int:
    if answer.generation is not None:
        return answer.generation.num_truncated_tokens
    return max((entry.num_truncated_tokens for entry in answer.loglikelihoods), default=0)
