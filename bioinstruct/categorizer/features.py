"""From a record to the sparse features of the offline categoriser: word n-grams of three fields, and shape.

The same code serves training and inference, so a feature cannot drift between them.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from bioinstruct.records import Record

WORD = re.compile(r"\w+")

FIELD_SCALES = {"instruction": 1.0, "input": 0.5, "output": 0.5}
"""Weight of each field's unit vector [C]: the instruction says most about what is asked."""

SHAPE_SCALE = 0.3
"""Weight of one shape feature [C], about that of one rare word in an instruction of fifteen."""

FIELD_PREFIXES = {"instruction": "i:", "input": "x:", "output": "o:"}


def ngrams(text: str) -> Iterator[str]:
    """Lower-cased words and pairs of neighbouring words of the text."""
    words = WORD.findall(text.lower())
    yield from words
    for first, second in itertools.pairwise(words):
        yield f"{first} {second}"


def shape_features(record: Record) -> list[str]:
    """Names of the shape features that hold: lengths in powers of two, lists, questions, copied words."""
    output_words = record.output.split()
    asked = set(record.instruction.lower().split()) | set(record.input.lower().split())
    answered = {word.lower() for word in output_words}
    copied = len(answered & asked) / max(1, len(answered))
    return [
        f"s:output_length_{len(output_words).bit_length()}",
        f"s:input_length_{len(record.input.split()).bit_length()}",
        f"s:output_lines_{min(record.output.count(chr(10)), 4)}",
        f"s:output_commas_{min(record.output.count(','), 5)}",
        f"s:instruction_asks_{record.instruction.endswith('?')}",
        f"s:input_asks_{record.input.endswith('?')}",
        f"s:copied_quarter_{int(4 * copied)}",
    ]


def count_features(record: Record) -> dict[str, Counter[str]]:
    """Counts of the n-grams of every field, each name with its field's prefix."""
    texts = {"instruction": record.instruction, "input": record.input, "output": record.output}
    return {field: Counter(FIELD_PREFIXES[field] + gram for gram in ngrams(text)) for field, text in texts.items()}


def build_vocabulary(records: Iterable[Record], *, min_records: int) -> tuple[list[str], list[float]]:
    """Feature names in sorted order, each found in at least `min_records` records, and their idf.

    idf = ln((1 + records) / (1 + records with it)) + 1, as scikit-learn smooths it;
    shape features have SHAPE_SCALE instead.
    """
    found: Counter[str] = Counter()
    total = 0
    for record in records:
        total += 1
        for counts in count_features(record).values():
            found.update(counts.keys())
        found.update(shape_features(record))
    names = sorted(name for name, number in found.items() if number >= min_records)
    idf = [SHAPE_SCALE if name.startswith("s:") else math.log((1 + total) / (1 + found[name])) + 1 for name in names]
    return names, idf


class SparseRows:
    """Sparse feature rows in compressed form: row i stands at starts[i]:starts[i + 1]."""

    def __init__(self, rows: Sequence[tuple[Sequence[int], Sequence[float]]]) -> None:
        lengths = [len(columns) for columns, _ in rows]
        self.starts: npt.NDArray[np.int64] = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        self.columns = np.array([column for columns, _ in rows for column in columns], dtype=np.int64)
        self.values = np.array([value for _, values in rows for value in values], dtype=np.float32)

    def multiply(self, weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Rows times weights (features, classes): one row of class scores each, zeros for an empty row."""
        scores = np.zeros((len(self.starts) - 1, weights.shape[1]), dtype=np.float32)
        filled = np.flatnonzero(np.diff(self.starts))
        if len(filled):
            terms = weights[self.columns] * self.values[:, None]
            scores[filled] = np.add.reduceat(terms, self.starts[filled], axis=0)
        return scores


def featurise(record: Record, columns: dict[str, int], idf: Sequence[float]) -> tuple[list[int], list[float]]:
    """Columns and values of one record: per field (1 + ln count) x idf of length FIELD_SCALES, then shape."""
    found: list[int] = []
    values: list[float] = []
    for field, counts in count_features(record).items():
        known = [(columns[name], count) for name, count in counts.items() if name in columns]
        weighted = [(1 + math.log(count)) * idf[column] for column, count in known]
        length = math.sqrt(sum(value * value for value in weighted))
        found.extend(column for column, _ in known)
        values.extend(FIELD_SCALES[field] * value / length for value in weighted)
    shape = [columns[name] for name in shape_features(record) if name in columns]
    found.extend(shape)
    values.extend(idf[column] for column in shape)
    return found, values
