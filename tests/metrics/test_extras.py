from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from bioinstruct.errors import PrerequisiteError, UserError
from bioinstruct.metrics.concepts import concept_f1, dictionary_finder
from bioinstruct.metrics.extras import aci_average, extra_estimates
from bioinstruct.statistics import Estimate


def terms(tmp_path: Path, text: str = "myocardial infarction\theart attack\tMI\nfever\tpyrexia\n") -> Path:
    path = tmp_path / "terms.tsv"
    path.write_text(text)
    return path


def test_a_dictionary_finds_whole_terms_of_any_case(tmp_path: Path) -> None:
    find, signature = dictionary_finder(terms(tmp_path))
    assert find("Heart  attack, no FEVER; mild") == {"myocardial infarction", "fever"}
    assert signature.startswith("concept_f1|dictionary:terms.tsv|terms:5|sha256:")


def test_concept_f1_of_two_sets() -> None:
    assert concept_f1(frozenset("ab"), frozenset("bc")) == 0.5
    assert concept_f1(frozenset(), frozenset()) == 1.0
    assert concept_f1(frozenset(), frozenset("a")) == 0.0


def test_concepts_are_an_extra_metric_of_written_texts(tmp_path: Path) -> None:
    estimates = extra_estimates([f"concepts:{terms(tmp_path)}"], ["MI", "rest"], ["heart attack and fever", "fever"])
    assert estimates["concepts"].value == pytest.approx((2 / 3 + 0) / 2)


def test_a_term_of_two_concepts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"terms.tsv:2: term 'mi' belongs to 'myocardial infarction' already"):
        dictionary_finder(terms(tmp_path, "myocardial infarction\tMI\nmitral\tMI\n"))


@pytest.mark.parametrize(
    ("name", "package", "message"),
    [
        ("bertscore", "bert_score", "pip install bert-score"),
        ("bleurt", "bleurt", "google-research/bleurt"),
    ],
)
def test_a_missing_package_is_named_with_the_way_to_get_it(name: str, package: str, message: str) -> None:
    if importlib.util.find_spec(package):
        pytest.skip(f"{package} is installed")
    with pytest.raises(PrerequisiteError, match=message):
        extra_estimates([name], ["a"], ["a"])


def test_quickumls_needs_its_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUICKUMLS_INDEX", raising=False)
    with pytest.raises(PrerequisiteError, match="QUICKUMLS_INDEX"):
        extra_estimates(["concepts"], ["a"], ["a"])


def test_an_unknown_extra_metric_is_refused() -> None:
    with pytest.raises(UserError, match="unknown extra metric 'bertscor'; known: bertscore"):
        extra_estimates(["bertscor"], ["a"], ["a"])


def test_the_average_of_aci_bench_needs_all_its_parts() -> None:
    values = {"rouge1": 0.6, "rouge2": 0.3, "rougeLsum": 0.3, "bertscore": 0.8, "bleurt": 0.4}
    metrics = {name: Estimate(value, value, value, 1, "") for name, value in values.items()}
    assert aci_average(metrics) is None
    metrics["concepts"] = Estimate(0.4, 0.4, 0.4, 1, "")
    average = aci_average(metrics)
    assert average is not None
    assert average.value == pytest.approx((0.4 + 0.8 + 0.4 + 0.4) / 4)
