"""The category of a record with its probability, from the arrays that ship with the package."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bioinstruct.categories import CATEGORIES
from bioinstruct.categorizer.features import SparseRows, featurise
from bioinstruct.records import Record

TARGETS = ("category", "category_strict")
"""What is predicted: the broad reading, near the dataset card's mix, and the strict one."""

WEIGHTS_FILE = "weights.npz"
REPORT_FILE = "report.json"
BLOCK_RECORDS = 2048
"""Records whose features are held in memory at once."""


@dataclass(frozen=True)
class LinearModel:
    """Weights (features, categories), bias (categories) and the temperature of the softmax."""

    weights: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    temperature: float

    def probabilities(self, rows: SparseRows) -> npt.NDArray[np.float32]:
        """Probability of every category, in the order of CATEGORIES, one row per record."""
        logits = (rows.multiply(self.weights) + self.bias) / np.float32(self.temperature)
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: npt.NDArray[np.float32] = exponents / exponents.sum(axis=1, keepdims=True)
        return probabilities


class Prediction(NamedTuple):
    """A category and how sure the model is of it: its calibrated probability in (0.25, 1)."""

    category: str
    confidence: float


@dataclass(frozen=True)
class Categorizer:
    """The vocabulary with idf, and one linear model per target."""

    names: tuple[str, ...]
    idf: tuple[float, ...]
    models: dict[str, LinearModel]

    def predict(self, records: Sequence[Record]) -> dict[str, list[Prediction]]:
        """For every target, one prediction per record, in order; a record's own label is not looked at."""
        columns = {name: column for column, name in enumerate(self.names)}
        found: dict[str, list[Prediction]] = {target: [] for target in self.models}
        for start in range(0, len(records), BLOCK_RECORDS):
            rows = SparseRows([featurise(r, columns, self.idf) for r in records[start : start + BLOCK_RECORDS]])
            for target, model in self.models.items():
                probabilities = model.probabilities(rows)
                best = probabilities.argmax(axis=1)
                found[target].extend(
                    Prediction(CATEGORIES[column], float(row[column]))
                    for column, row in zip(best, probabilities, strict=True)
                )
        return found


def to_bytes(categorizer: Categorizer) -> bytes:
    """The categoriser as a compressed .npz of plain arrays; names joined by line feeds in UTF-8."""
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "names": np.frombuffer("\n".join(categorizer.names).encode(), dtype=np.uint8),
        "idf": np.array(categorizer.idf, dtype=np.float32),
    }
    for target, model in categorizer.models.items():
        arrays[f"{target}/weights"] = model.weights.astype(np.float32)
        arrays[f"{target}/bias"] = model.bias.astype(np.float32)
        arrays[f"{target}/temperature"] = np.array(model.temperature, dtype=np.float32)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def from_bytes(content: bytes) -> Categorizer:
    """The categoriser saved by `to_bytes`; nothing is unpickled."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        models = {
            target: LinearModel(
                arrays[f"{target}/weights"], arrays[f"{target}/bias"], float(arrays[f"{target}/temperature"])
            )
            for target in TARGETS
        }
        names = arrays["names"].tobytes().decode().split("\n")
        return Categorizer(tuple(names), tuple(arrays["idf"].tolist()), models)


def load_categorizer() -> Categorizer:
    """The categoriser that ships with the package."""
    return from_bytes(resources.files("bioinstruct.categorizer").joinpath(WEIGHTS_FILE).read_bytes())
