"""Trains the offline categoriser and measures it by cross-validation; writes the files the package ships.

python experiments/categorizer/train.py $BIOINSTRUCT_DATA/bioinstruct [--write]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from bioinstruct.categories import CATEGORIES
from bioinstruct.categorizer.agreement import Agreement, measure_agreement
from bioinstruct.categorizer.features import SparseRows, build_vocabulary, featurise
from bioinstruct.categorizer.model import (
    REPORT_FILE,
    TARGETS,
    WEIGHTS_FILE,
    Categorizer,
    LinearModel,
    to_bytes,
)
from bioinstruct.records import Record, read_records
from bioinstruct.runs import write_atomic, write_json

NUM_FOLDS = 5
SEED = 0
MIN_RECORDS = 5
"""An n-gram enters the vocabulary with this many records: fewer features, the same F1, and no rare phrase
of a record ends up in the shipped file."""
INVERSE_PENALTY = 8.0
"""scikit-learn's C; 4, 8 and 16 were tried by cross-validation (README.md)."""

Matrix = npt.NDArray[np.float64]


def to_matrix(records: Sequence[Record], names: Sequence[str], idf: Sequence[float]) -> csr_matrix:
    """The features of the records as a SciPy matrix (records, features)."""
    columns = {name: column for column, name in enumerate(names)}
    rows = SparseRows([featurise(record, columns, idf) for record in records])
    return csr_matrix((rows.values, rows.columns, rows.starts), shape=(len(records), len(names)))


def fit(features: csr_matrix, labels: npt.NDArray[np.str_]) -> tuple[Matrix, Matrix]:
    """Weights (features, categories) and bias of a class-balanced logistic regression, ordered as CATEGORIES."""
    model = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", max_iter=2000).fit(
        features, labels
    )
    order = [list(model.classes_).index(name) for name in CATEGORIES]
    return model.coef_[order].T, model.intercept_[order]


def cross_validate(records: Sequence[Record], labels: npt.NDArray[np.str_]) -> Matrix:
    """Logits of every record from a model that did not see it; vocabulary and idf are refit per fold."""
    logits = np.zeros((len(records), len(CATEGORIES)))
    folds = StratifiedKFold(NUM_FOLDS, shuffle=True, random_state=SEED)
    for training, held_out in folds.split(np.zeros(len(records)), labels):
        names, idf = build_vocabulary([records[i] for i in training], min_records=MIN_RECORDS)
        weights, bias = fit(to_matrix([records[i] for i in training], names, idf), labels[training])
        logits[held_out] = to_matrix([records[i] for i in held_out], names, idf) @ weights + bias
    return logits


def fit_temperature(logits: Matrix, labels: npt.NDArray[np.str_]) -> float:
    """The temperature with the smallest cross-entropy on held-out logits."""
    target = np.array([CATEGORIES.index(label) for label in labels])

    def cross_entropy(temperature: float) -> float:
        return float(-np.log(softmax(logits / temperature)[np.arange(len(target)), target]).mean())

    return float(minimize_scalar(cross_entropy, bounds=(0.2, 5.0), method="bounded").x)


def softmax(logits: Matrix) -> Matrix:
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Matrix = exponents / exponents.sum(axis=1, keepdims=True)
    return probabilities


def calibration(confidence: Matrix, right: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Expected calibration error over ten equal bins, and what confidence of 0.8 and 0.9 buys."""
    bins = np.minimum((confidence * 10).astype(int), 9)
    gaps = [
        (bins == b).mean() * abs(confidence[bins == b].mean() - right[bins == b].mean())
        for b in range(10)
        if (bins == b).any()
    ]
    sure: dict[str, float] = {"expected_calibration_error": float(sum(gaps))}
    for level in (0.8, 0.9):
        above = confidence >= level
        sure[f"share_above_{level}"] = float(above.mean())
        sure[f"accuracy_above_{level}"] = float(right[above].mean())
    return sure


def agreement_entry(agreement: Agreement) -> dict[str, object]:
    return {
        key: {n: round(v, 4) for n, v in value.items()} if isinstance(value, dict) else round(value, 4)
        for key, value in dataclasses.asdict(agreement).items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds bioinstruct_slice.json and categories.jsonl")
    parser.add_argument("--write", action="store_true", help="replace the files that ship with the package")
    arguments = parser.parse_args()
    lines = (arguments.folder / "categories.jsonl").read_text(encoding="utf-8").splitlines()
    rows = {row["record"]: row for row in map(json.loads, lines)}
    records = [
        r for r in read_records(arguments.folder / "bioinstruct_slice.json").records if r.record_id in rows
    ]
    second = {
        i: rows[r.record_id]["second_reader"]
        for i, r in enumerate(records)
        if "second_reader" in rows[r.record_id]
    }
    names, idf = build_vocabulary(records, min_records=MIN_RECORDS)
    features = to_matrix(records, names, idf)
    models: dict[str, LinearModel] = {}
    report: dict[str, object] = {
        "num_records": len(records),
        "num_folds": NUM_FOLDS,
        "num_features": len(names),
    }
    for target in TARGETS:
        labels = np.array([rows[record.record_id][target] for record in records])
        logits = cross_validate(records, labels)
        temperature = fit_temperature(logits, labels)
        predicted = [CATEGORIES[column] for column in logits.argmax(axis=1)]
        right = np.array(predicted) == labels
        report[target] = {
            "held_out": agreement_entry(measure_agreement(labels.tolist(), predicted)),
            "held_out_against_second_reader": agreement_entry(
                measure_agreement(list(second.values()), [predicted[i] for i in second])
            ),
            "labels_against_second_reader": agreement_entry(
                measure_agreement(list(second.values()), [str(labels[i]) for i in second])
            ),
            "confidence": {
                key: round(value, 4)
                for key, value in calibration(softmax(logits / temperature).max(axis=1), right).items()
            },
        }
        weights, bias = fit(features, labels)
        models[target] = LinearModel(weights.astype(np.float32), bias.astype(np.float32), temperature)
    print(json.dumps(report, indent=2))
    if arguments.write:
        package = Path(__file__).resolve().parents[2] / "bioinstruct" / "categorizer"
        write_atomic(package / WEIGHTS_FILE, to_bytes(Categorizer(tuple(names), tuple(idf), models)))
        write_json(package / REPORT_FILE, report)


if __name__ == "__main__":
    main()
