from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from bioinstruct import scoring
from bioinstruct.errors import UserError
from bioinstruct.scoring import evaluate, evaluate_task, prepare_task, read_score, replay_task
from bioinstruct.tasks import get_task
from bioinstruct.tasks.base import Backend, LogLikelihood, Score
from tests.tasks.fixtures import TEMPLATE, HashBackend, data_folder, hash_unit


def score_in(
    folder: Path, backend: Backend, name: str = "medqa", *, protocol: str = "lm_eval", split: str = "test"
) -> Score:
    return evaluate_task(
        backend,
        get_task(name),
        root=data_folder(folder / "data"),
        split=split,
        protocol=protocol,
        template=TEMPLATE,
        limit=None,
        num_shots=0,
        max_new_tokens=64,
        folder=folder / "evaluations",
    )


def test_choices_are_the_highest_log_probabilities(tmp_path: Path) -> None:
    prepared = prepare_task(
        get_task("medqa"), root=data_folder(tmp_path), split="test", protocol="lm_eval", template=TEMPLATE
    )
    chosen = [min(i.continuations, key=lambda text, i=i: hash_unit(i.context, text)) for i in prepared.items]  # type: ignore[misc]
    right = [text == item.continuations[item.target] for text, item in zip(chosen, prepared.items, strict=True)]
    score = evaluate(HashBackend(), "medqa", root=tmp_path)
    assert [item.value for item in score.items] == [float(value) for value in right]
    assert score.metrics["acc"].value == sum(right) / 3


def test_a_finished_score_asks_the_backend_nothing(tmp_path: Path) -> None:
    backend = HashBackend()
    first = score_in(tmp_path, backend)
    asked = backend.num_asked
    assert asked == 12
    assert score_in(tmp_path, backend) == first
    assert backend.num_asked == asked


def test_a_score_file_reads_back_as_it_was(tmp_path: Path) -> None:
    score = score_in(tmp_path, HashBackend(), "pubmedqa")
    (path,) = (tmp_path / "evaluations").glob("pubmedqa-*.json")
    assert read_score(path) == score
    assert json.loads(path.read_text())["items"]["id"] == ["12", "14"]


def test_another_model_in_the_same_folder_is_scored_on_its_own(tmp_path: Path) -> None:
    score_in(tmp_path, HashBackend())
    other = HashBackend(fingerprint="other")
    score_in(tmp_path, other)
    assert other.num_asked == 12


class KilledError(Exception):
    pass


class StopsAfter(HashBackend):
    """Answers that many calls, then dies as a killed process would."""

    def __init__(self, num_calls: int) -> None:
        super().__init__()
        self.num_calls = num_calls

    def loglikelihood(self, pairs: Sequence[tuple[str, str]]) -> list[LogLikelihood]:
        if not self.num_calls:
            raise KilledError
        self.num_calls -= 1
        return super().loglikelihood(pairs)


def test_an_interrupted_task_goes_on_with_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "CHUNK_ITEMS", 1)
    with pytest.raises(KilledError):
        score_in(tmp_path, StopsAfter(2))
    monkeypatch.setattr(scoring, "CHUNK_ITEMS", 2)
    rest = HashBackend()
    score = score_in(tmp_path, rest)
    assert rest.num_asked == 4
    assert score == score_in(tmp_path / "elsewhere", HashBackend())


@pytest.mark.parametrize("torn", [b'{"key": "abc', b'{"key": "abc", "fingerprint": "hash"', b"\xe2\x82"])
def test_a_line_half_written_is_dropped_and_no_item_is_lost_or_doubled(tmp_path: Path, torn: bytes) -> None:
    expected = score_in(tmp_path, HashBackend())
    (path,) = (tmp_path / "evaluations").glob("*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1] + torn)
    next((tmp_path / "evaluations").glob("*.json")).unlink()
    backend = HashBackend()
    assert score_in(tmp_path, backend) == expected
    assert backend.num_asked == 4
    saved = [json.loads(line)["id"] for line in path.read_text().splitlines()]
    assert sorted(saved) == sorted(item.item_id for item in expected.items)


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    score_in(tmp_path, HashBackend())
    (path,) = (tmp_path / "evaluations").glob("*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"{broken}\n" + lines[2])
    next((tmp_path / "evaluations").glob("*.json")).unlink()
    with pytest.raises(UserError, match=r"jsonl:2: not a saved prediction"):
        score_in(tmp_path, HashBackend())


def replay(folder: Path, *, fingerprint: str | None = None) -> Score:
    return replay_task(
        get_task("medqa"),
        root=folder / "data",
        split="test",
        protocol="lm_eval",
        template=TEMPLATE,
        limit=None,
        num_shots=0,
        max_new_tokens=64,
        folder=folder / "evaluations",
        fingerprint=fingerprint,
    )


def test_saved_predictions_are_scored_again_without_a_model(tmp_path: Path) -> None:
    expected = score_in(tmp_path, HashBackend())
    (path,) = (tmp_path / "evaluations").glob("*.json")
    path.unlink()
    assert replay(tmp_path) == expected
    assert path.is_file()


def test_a_replay_refuses_missing_items_and_mixed_models(tmp_path: Path) -> None:
    data_folder(tmp_path / "data")
    with pytest.raises(UserError, match="3 of 3 items have no saved prediction"):
        replay(tmp_path)
    first = score_in(tmp_path, HashBackend())
    score_in(tmp_path, HashBackend(fingerprint="other"))
    with pytest.raises(UserError, match="choose a fingerprint: hash, other"):
        replay(tmp_path)
    assert replay(tmp_path, fingerprint="hash") == first


def test_written_answers_are_cut_and_scored(tmp_path: Path) -> None:
    task = get_task("bc5cdr_chemical")
    root = data_folder(tmp_path / "data")
    prepared = prepare_task(task, root=root, split="test", protocol="alpaca", template=TEMPLATE)
    answers = {
        prepared.items[0].context: "- chemical: aspirin\nChemical: acid",
        prepared.items[1].context: "Hm.",
    }
    score = score_in(tmp_path, HashBackend(answers), "bc5cdr_chemical", protocol="alpaca")
    assert score.metrics["precision"].value == 0.5
    assert score.metrics["recall"].value == 0.5
    assert score.metrics["overlap_recall"].value == 1.0
    assert [(item.num_true_positives, item.num_predicted, item.num_gold) for item in score.items] == [
        (1, 2, 2),
        (0, 0, 0),
    ]
    assert [item.parse for item in score.items] == ["ok", "none"]
    assert score.parse_failure_rate == 0.5


def test_solved_examples_stand_before_the_question(tmp_path: Path) -> None:
    prepared = prepare_task(
        get_task("medqa"),
        root=data_folder(tmp_path),
        split="test",
        protocol="lm_eval",
        template=TEMPLATE,
        num_shots=1,
    )
    assert prepared.items[1].context == (
        "Question: Which vitamin prevents scurvy?\nA. Vitamin A\nB. Vitamin C\nC. Vitamin D\nD. Vitamin K\n"
        "Answer: B\n\n"
        "Question: Which organ makes insulin?\nA. Liver\nB. Spleen\nC. Kidney\nD. Pancreas\nAnswer:"
    )


def test_the_hash_names_prompts_targets_and_decoding(tmp_path: Path) -> None:
    root = data_folder(tmp_path)

    def hash_of(name: str, protocol: str, **options: int) -> str:
        task = get_task(name)
        return prepare_task(
            task,
            root=root,
            split="test",
            protocol=protocol,
            template=TEMPLATE,
            max_new_tokens=options.get("tokens"),
        ).hash

    assert hash_of("medqa", "lm_eval") == hash_of("medqa", "lm_eval", tokens=7)
    assert hash_of("bc5cdr_chemical", "alpaca") != hash_of("bc5cdr_chemical", "alpaca", tokens=7)
    assert hash_of("medqa", "lm_eval") != hash_of("medqa", "alpaca")


def test_an_unknown_protocol_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no protocol 'harness'; its protocols: lm_eval, alpaca"):
        prepare_task(get_task("medqa"), root=tmp_path, split="test", protocol="harness", template=TEMPLATE)


def test_a_template_is_asked_for_where_the_protocol_needs_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pass template="):
        evaluate(HashBackend(), "medqa", root=data_folder(tmp_path), protocol="alpaca")


def test_an_empty_note_scores_zero_and_counts_as_unparsed(tmp_path: Path) -> None:
    score = score_in(tmp_path, HashBackend(default_answer=""), "mts_dialog", protocol="alpaca", split="test1")
    assert score.metrics["rougeLsum"].value == 0.0
    assert score.parse_failure_rate == 1.0
    assert 0 < score.baselines["source_copied"] < 1


def test_an_extra_metric_is_added_to_a_finished_score_without_asking_again(tmp_path: Path) -> None:
    backend = HashBackend(default_answer="No allergies; a cough.")
    score_in(tmp_path, backend, "mts_dialog", protocol="alpaca", split="test1")
    terms = tmp_path / "terms.tsv"
    terms.write_text("allergy\tallergies\ncough\n")

    def concept_f1() -> float:
        score = evaluate_task(
            backend,
            get_task("mts_dialog"),
            root=tmp_path / "data",
            split="test1",
            protocol="alpaca",
            template=TEMPLATE,
            limit=None,
            num_shots=0,
            max_new_tokens=64,
            folder=tmp_path / "evaluations",
            extra_metrics=[f"concepts:{terms}"],
        )
        return score.metrics["concepts"].value

    assert concept_f1() == pytest.approx(2 / 3)
    terms.write_text("cough\n")
    assert concept_f1() == pytest.approx(1 / 2)
    assert backend.num_asked == 2


def test_a_score_file_records_what_it_was_read_from(tmp_path: Path) -> None:
    score_in(tmp_path, HashBackend())
    (path,) = (tmp_path / "evaluations").glob("*.json")
    record = json.loads(path.read_text())
    assert list(record["files"]) == ["medqa/phrases_no_exclude_test.jsonl"]
    assert (record["fingerprint"], record["template"], record["num_shots"]) == ("hash", "plain", 0)


def test_solved_examples_come_from_another_split_that_holds_enough(tmp_path: Path) -> None:
    root = data_folder(tmp_path)
    for split, num_shots, message in (
        ("train", 1, "no other split"),
        ("test", 2, "split train of medqa holds 1"),
        ("test", -1, "num_shots is -1"),
    ):
        with pytest.raises(UserError, match=message):
            prepare_task(
                get_task("medqa"),
                root=root,
                split=split,
                protocol="lm_eval",
                template=TEMPLATE,
                num_shots=num_shots,
            )
