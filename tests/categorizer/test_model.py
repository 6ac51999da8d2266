"""The shipped arrays: they load without pickle, give probabilities, and do not depend on the batch."""

from __future__ import annotations

import json
from importlib import resources

import numpy as np
import pytest

from bioinstruct.categories import CATEGORIES
from bioinstruct.categorizer.features import SparseRows, build_vocabulary, featurise, ngrams
from bioinstruct.categorizer.model import Categorizer, LinearModel, from_bytes, load_categorizer, to_bytes
from bioinstruct.records import Record


def make_record(instruction: str, *, input_text: str = "", output: str = "x") -> Record:
    return Record("0" * 16, instruction, input_text, output)


WHICH_DRUG = make_record("Which drug reverses an opioid overdose?", output="Naloxone.")
EXTRACT = make_record(
    "Extract all medications from the note.",
    input_text="Started metformin and lisinopril.",
    output="metformin, lisinopril",
)
WRITE = make_record("Write a short letter that explains asthma to a child.", output="Dear Tom, your airways " * 20)


def test_ngrams_are_lower_cased_words_and_their_pairs() -> None:
    assert list(ngrams("Given TNF-α levels")) == [
        "given", "tnf", "α", "levels", "given tnf", "tnf α", "α levels",
    ]  # fmt: skip


def test_each_field_becomes_a_vector_of_its_scale() -> None:
    names, idf = build_vocabulary([EXTRACT], min_records=1)
    columns = {name: column for column, name in enumerate(names)}
    found, values = featurise(EXTRACT, columns, idf)
    output = [value for column, value in zip(found, values, strict=True) if names[column].startswith("o:")]
    # Three output n-grams of count 1 and equal idf: 0.5 / sqrt(3) each.
    assert output == pytest.approx([0.5 / 3**0.5] * 3)


def test_sparse_product_equals_the_dense_one_with_an_empty_row() -> None:
    rows = SparseRows([([0, 2], [1.0, 2.0]), ([], []), ([1], [3.0])])
    weights = np.array([[1, 0], [0, 1], [5, 7]], dtype=np.float32)
    assert rows.multiply(weights).tolist() == [[11, 14], [0, 0], [0, 3]]


def test_probability_comes_from_the_logit_divided_by_the_temperature() -> None:
    bias = np.array([2 * np.log(3.0), 0, 0, 0], dtype=np.float32)
    model = LinearModel(np.zeros((1, 4), dtype=np.float32), bias, temperature=2.0)
    assert model.probabilities(SparseRows([([], [])]))[0].tolist() == pytest.approx([1 / 2, 1 / 6, 1 / 6, 1 / 6])


def test_clear_records_get_their_category_with_a_confidence() -> None:
    predictions = load_categorizer().predict([WHICH_DRUG, EXTRACT, WRITE])
    assert [p.category for p in predictions["category"]] == ["qa", "ie", "gen"]
    assert [p.category for p in predictions["category_strict"]] == ["qa", "ie", "gen"]
    assert all(0.5 < p.confidence < 1 for p in predictions["category"])


def test_a_prediction_does_not_depend_on_the_records_beside_it() -> None:
    categorizer = load_categorizer()
    together = categorizer.predict([WHICH_DRUG, EXTRACT, WRITE])["category"]
    alone = [categorizer.predict([record])["category"][0] for record in (WHICH_DRUG, EXTRACT, WRITE)]
    assert [p.category for p in together] == [p.category for p in alone]
    assert [p.confidence for p in together] == pytest.approx([p.confidence for p in alone], abs=1e-6)


def test_saved_arrays_load_again() -> None:
    model = LinearModel(np.ones((2, 4), dtype=np.float32), np.arange(4, dtype=np.float32), 0.5)
    saved = Categorizer(("i:α", "o:b c"), (1.5, 2.0), {"category": model, "category_strict": model})
    loaded = from_bytes(to_bytes(saved))
    assert (loaded.names, loaded.idf) == (saved.names, saved.idf)
    assert loaded.models["category"].weights.tolist() == model.weights.tolist()
    assert loaded.models["category_strict"].temperature == 0.5


def test_shipped_report_reaches_the_promised_macro_f1() -> None:
    package = resources.files("bioinstruct.categorizer")
    report = json.loads(package.joinpath("report.json").read_text(encoding="utf-8"))
    assert report["category"]["held_out"]["macro_f1"] >= 0.80
    assert len(load_categorizer().names) == report["num_features"]
    assert set(report["category"]["held_out"]["f1"]) == set(CATEGORIES)
