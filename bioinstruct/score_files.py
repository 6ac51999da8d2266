"""Score files: a Score as JSON, its items in columns, with what it was computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import cast

from bioinstruct.errors import UserError
from bioinstruct.runs import JsonValue, read_json, write_json
from bioinstruct.statistics import Estimate
from bioinstruct.tasks.base import ItemStat, ParseState, Score

SCORE_VERSION = 1
"""Version of the scorers and of this file; raise it when a metric changes its meaning: older scores are
recomputed."""

PLAIN_FIELDS = ("task", "family", "protocol", "split", "n", "headline", "reduction")


def write_score(path: Path, score: Score, *, provenance: Mapping[str, JsonValue]) -> None:
    """Writes a score atomically; `provenance` says which model, prompts and decoding it is of."""
    columns = {
        "id": [item.item_id for item in score.items],
        "value": [item.value for item in score.items],
        "true_positives": [item.num_true_positives for item in score.items],
        "predicted": [item.num_predicted for item in score.items],
        "gold": [item.num_gold for item in score.items],
        "parse": [item.parse for item in score.items],
    }
    write_json(
        path,
        {
            "version": SCORE_VERSION,
            **{name: getattr(score, name) for name in PLAIN_FIELDS},
            **provenance,
            "metrics": {name: asdict(estimate) for name, estimate in score.metrics.items()},
            "baselines": dict(score.baselines),
            "parse_failure_rate": score.parse_failure_rate,
            "items": columns,
        },
    )


def find_score(path: Path, *, fingerprint: str, extra_metrics: Sequence[str] = ()) -> Score | None:
    """The finished score of a model, else None.

    A score of another model or an older version is not it, nor one that lacks an extra metric.
    """
    if not path.is_file():
        return None
    value = read_json(path)
    if value.get("version") != SCORE_VERSION or value.get("fingerprint") != fingerprint:
        return None
    known = value.get("extra_metrics", [])
    if not isinstance(known, list) or any(name not in known for name in extra_metrics):
        return None
    return _from_json(value, path)


def read_score(path: Path) -> Score:
    """The score in a file; UserError naming the file if it is not one."""
    return _from_json(read_json(path), path)


def _from_json(value: Mapping[str, JsonValue], path: Path) -> Score:
    try:
        columns = cast(dict[str, list[JsonValue]], value["items"])
        names = ("id", "value", "true_positives", "predicted", "gold", "parse")
        rows = zip(*(columns[name] for name in names), strict=True)
        items = tuple(
            ItemStat(
                str(key),
                _number(x),
                int(_number(tp)),
                int(_number(p)),
                int(_number(g)),
                cast(ParseState, state),
            )
            for key, x, tp, p, g, state in rows
        )
        metrics = cast(dict[str, dict[str, float | int | str | None]], value["metrics"])
        plain = {name: value[name] for name in PLAIN_FIELDS}
        return Score(
            **plain,  # type: ignore[arg-type]
            metrics={name: Estimate(**fields) for name, fields in metrics.items()},  # type: ignore[arg-type]
            baselines=cast(dict[str, float], value["baselines"]),
            items=items,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is not a score file ({type(error).__name__}: {error}); remove it and evaluate again"
        ) from error


def _number(value: JsonValue) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"expected a number, found {value!r}")
    return value
