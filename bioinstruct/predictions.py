"""Saved predictions: one JSON line per item, appended as answers come, keyed by content.

The key hashes everything an answer depends on (model fingerprint, protocol, item, decoding), so resuming is a
set difference: independent of file order, batch size and number of devices. A line half written when the
process died is cut off before anything is appended.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bioinstruct.errors import UserError
from bioinstruct.tasks.base import Answer, Generation, Item, LogLikelihood


@dataclass(frozen=True)
class Prediction:
    """One saved line."""

    key: str
    fingerprint: str
    answer: Answer


def prediction_key(
    item: Item, *, fingerprint: str, protocol_hash: str, max_new_tokens: int, stop: Sequence[str]
) -> str:
    """sha256 over all that the answer to an item depends on; decoding enters for written answers only."""
    decoding = [] if item.continuations else [max_new_tokens, list(stop)]
    payload = [fingerprint, protocol_hash, item.id, item.context, item.continuations, decoding]
    return hashlib.sha256(json.dumps(payload, ensure_ascii=False).encode()).hexdigest()


def read_predictions(path: Path) -> dict[str, Prediction]:
    """Saved predictions by key; the first of a key counts, a torn last line does not.

    Raises UserError naming file and line for any other line that cannot be read.
    """
    if not path.is_file():
        return {}
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    predictions: dict[str, Prediction] = {}
    for number, line in enumerate(whole.split(b"\n")[:-1], start=1):
        try:
            prediction = _from_record(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path}:{number}: not a saved prediction ({error}); remove that line, then run the command "
                "again"
            ) from error
        predictions.setdefault(prediction.key, prediction)
    return predictions


def append_predictions(path: Path, rows: Iterable[tuple[Prediction, Item]]) -> None:
    """Appends whole lines and flushes them to disk; a torn last line is cut off first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        _cut_torn_line(path)
        for prediction, item in rows:
            file.write(json.dumps(_to_record(prediction, item), ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def browse(path: Path) -> Iterator[Mapping[str, object]]:
    """The saved lines as plain records (id, context, continuations, answer), for reading them."""
    for line in path.read_bytes().split(b"\n")[:-1]:
        record: dict[str, object] = json.loads(line)
        yield record


def _cut_torn_line(path: Path) -> None:
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole != len(content):
        os.truncate(path, whole)


def _to_record(prediction: Prediction, item: Item) -> dict[str, object]:
    answer = prediction.answer
    record: dict[str, object] = {
        "key": prediction.key,
        "fingerprint": prediction.fingerprint,
        "id": item.id,
        "context": item.context,
    }
    if item.continuations:
        record["continuations"] = list(item.continuations)
        record["loglikelihoods"] = [asdict(entry) for entry in answer.loglikelihoods]
    elif answer.generation is not None:
        record["generation"] = asdict(answer.generation)
    return record


def _from_record(record: dict[str, object]) -> Prediction:
    entries, generation = record.get("loglikelihoods", []), record.get("generation")
    if not isinstance(entries, list) or not (entries or isinstance(generation, dict)):
        raise ValueError("neither loglikelihoods nor a generation")
    answer = Answer(
        item_id=str(record["id"]),
        loglikelihoods=tuple(LogLikelihood(**entry) for entry in entries),
        generation=Generation(**generation) if isinstance(generation, dict) else None,
    )
    return Prediction(str(record["key"]), str(record["fingerprint"]), answer)
