"""Metrics of written text that need more than the package: BERTScore, BLEURT, medical concepts.

They are asked for by name: `bertscore`, `bleurt`, `concepts` (QuickUMLS, folder of its index in
QUICKUMLS_INDEX) or
`concepts:<file>` (a dictionary: one concept a line, its terms separated by tabs). Imports happen on use.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from bioinstruct.errors import PrerequisiteError, UserError
from bioinstruct.metrics.concepts import ConceptFinder, concept_f1, dictionary_finder, quickumls_finder
from bioinstruct.runs import file_sha256
from bioinstruct.statistics import Estimate, bootstrap_mean, standard_error

Texts = Sequence[str]

BERTSCORE_MODEL = "microsoft/deberta-xlarge-mnli"
BERTSCORE_LAYER = 40
BERTSCORE_LENGTH = 512
BLEURT_MODEL = "BLEURT-20"
KNOWN = ("bertscore", "bleurt", "concepts", "concepts:<file>")


def extra_estimates(names: Sequence[str], predictions: Texts, references: Texts) -> dict[str, Estimate]:
    """The named metrics with bootstrap intervals.

    Raises UserError for an unknown name, PrerequisiteError for a missing package, model or file.
    """
    estimates = {}
    for spec in names:
        name, _, argument = spec.partition(":")
        values, signature = _compute(name, argument, predictions, references)
        low, high = bootstrap_mean(values)
        mean = sum(values) / max(len(values), 1)
        full = f"{signature}|ci:bootstrap1000"
        estimates[name] = Estimate(mean, low, high, len(values), full, standard_error(values))
    return estimates


def extra_identities(names: Sequence[str]) -> list[str]:
    """The names with the sha256 of a dictionary they read: a score is finished when it has all of these."""
    files = [Path(name.partition(":")[2]) for name in names]
    return [
        f"{name}@{file_sha256(file)[:12]}" if file.is_file() else name for name, file in zip(names, files, strict=True)
    ]


def aci_average(metrics: dict[str, Estimate]) -> Estimate | None:
    """ACI-Bench's average, None where a part is missing.

    The mean of mean(ROUGE-1, ROUGE-2, ROUGE-Lsum), BERTScore-F1, BLEURT and concept-F1.

    The interval is that of the parts averaged: an outer bound, since they are correlated.
    """
    rouge = [metrics.get(name) for name in ("rouge1", "rouge2", "rougeLsum")]
    others = [metrics.get(name) for name in ("bertscore", "bleurt", "concepts")]
    if any(part is None for part in (*rouge, *others)):
        return None

    def average(pick: Callable[[Estimate], float]) -> float:
        first = sum(pick(part) for part in rouge if part) / 3
        return (first + sum(pick(part) for part in others if part)) / 4

    signature = "aci_average|mean(mean(rouge1,rouge2,rougeLsum),bertscore,bleurt,concepts)|ci:mean of the parts"
    n = rouge[0].n if rouge[0] else 0
    return Estimate(average(lambda e: e.value), average(lambda e: e.low), average(lambda e: e.high), n, signature)


def _compute(name: str, argument: str, predictions: Texts, references: Texts) -> tuple[list[float], str]:
    if name == "bertscore" and not argument:
        return bertscore(predictions, references)
    if name == "bleurt" and not argument:
        return bleurt(predictions, references)
    if name == "concepts":
        finder, signature = dictionary_finder(Path(argument)) if argument else quickumls_finder(_quickumls_index())
        return concepts(finder, predictions, references), signature
    raise UserError(f"unknown extra metric {name!r}; known: {', '.join(KNOWN)}")


def _quickumls_index() -> Path:
    folder = os.environ.get("QUICKUMLS_INDEX", "")
    if not folder:
        raise PrerequisiteError(
            "metric concepts needs a QuickUMLS index (UMLS licence, "
            "https://github.com/Georgetown-IR-Lab/QuickUMLS): set "
            "QUICKUMLS_INDEX to its folder, or name a dictionary of your own: concepts:<file>"
        )
    return Path(folder)


def concepts(finder: ConceptFinder, predictions: Texts, references: Texts) -> list[float]:
    """Concept-F1 of every pair."""
    return [concept_f1(finder(p), finder(r)) for p, r in zip(predictions, references, strict=True)]


def bertscore(predictions: Texts, references: Texts) -> tuple[list[float], str]:
    """BERTScore-F1 with the settings of the ACI-Bench tables; an empty prediction scores 0.

    The length limit is set explicitly: the model's tokenizer reports none, and long notes fail without it.
    """
    try:
        from bert_score import BERTScorer
    except ImportError as error:
        raise PrerequisiteError("metric bertscore needs a package: pip install bert-score") from error
    scorer = BERTScorer(model_type=BERTSCORE_MODEL, num_layers=BERTSCORE_LAYER, idf=False)
    scorer._tokenizer.model_max_length = BERTSCORE_LENGTH
    _, _, f1 = scorer.score([text or " " for text in predictions], list(references))
    values = [float(value) if text.strip() else 0.0 for value, text in zip(f1, predictions, strict=True)]
    settings = f"{BERTSCORE_MODEL}|layer:{BERTSCORE_LAYER}|idf:no|max_length:{BERTSCORE_LENGTH}"
    return values, f"bert-score:{version('bert-score')}|{settings}|f1"


def bleurt(predictions: Texts, references: Texts) -> tuple[list[float], str]:
    """BLEURT-20 scores; the checkpoint is found through BLEURT_CHECKPOINT."""
    try:
        from bleurt.score import BleurtScorer
    except ImportError as error:
        raise PrerequisiteError(
            "metric bleurt needs a package: pip install git+https://github.com/google-research/bleurt"
        ) from error
    checkpoint = os.environ.get("BLEURT_CHECKPOINT", "")
    if not Path(checkpoint).is_dir() or not checkpoint:
        raise PrerequisiteError(
            f"metric bleurt needs the checkpoint {BLEURT_MODEL}: unpack "
            f"https://storage.googleapis.com/bleurt-oss-21/{BLEURT_MODEL}.zip and set BLEURT_CHECKPOINT to "
            "its folder"
        )
    values = BleurtScorer(checkpoint).score(references=list(references), candidates=list(predictions))
    return [float(value) for value in values], f"bleurt|{Path(checkpoint).name}"
