from __future__ import annotations

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from bioinstruct.errors import PrerequisiteError, UserError
from bioinstruct.tasks import TASKS, get_task
from bioinstruct.tasks.base import Example, lowest_ids, missing_files
from bioinstruct.tasks.ner import Token, join_tokens
from tests.tasks.fixtures import MEDQA_RECORDS, PUBMEDQA_RECORDS, data_folder, json_lines, write


def test_the_table_is_keyed_by_the_tasks_own_names() -> None:
    assert len(TASKS) >= 13
    assert all(task.name == name for name, task in TASKS.items())


def test_an_unknown_task_is_refused_with_the_known_names() -> None:
    with pytest.raises(UserError, match="unknown task 'medqua'; known: medqa, medmcqa"):
        get_task("medqua")


def test_an_unknown_split_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="task medqa has no split 'tset'; its splits: test, dev, train"):
        get_task("medqa").load(tmp_path, "tset")


def test_missing_files_are_named_with_the_way_to_get_them(tmp_path: Path) -> None:
    task = get_task("pubmedqa")
    assert [path.name for path in missing_files(task, tmp_path, "test")] == [
        "ori_pqal.json",
        "test_ground_truth.json",
    ]
    with pytest.raises(PrerequisiteError, match=r"pubmedqa/ori_pqal.json.*github.com/pubmedqa/pubmedqa"):
        task.load(tmp_path, "test")


def test_the_official_pubmedqa_test_ids_decide_the_split(tmp_path: Path) -> None:
    task, root = get_task("pubmedqa"), data_folder(tmp_path)
    assert [(e.id, e.target) for e in task.load(root, "test")] == [("12", 1), ("14", 0)]
    assert [e.id for e in task.load(root, "dev")] == ["11", "13"]


def test_pubmedqa_without_the_test_ids_is_dev_only_where_it_can_be(tmp_path: Path) -> None:
    write(tmp_path / "pubmedqa/ori_pqal.json", json.dumps(PUBMEDQA_RECORDS))
    assert len(get_task("pubmedqa").load(tmp_path, "dev")) == 4
    many = {str(number): PUBMEDQA_RECORDS["11"] for number in range(501)}
    write(tmp_path / "pubmedqa/ori_pqal.json", json.dumps(many))
    with pytest.raises(UserError, match=r"501 records.*test_ground_truth"):
        get_task("pubmedqa").load(tmp_path, "dev")


def test_a_pubmedqa_test_id_without_record_is_an_error(tmp_path: Path) -> None:
    root = data_folder(tmp_path)
    write(root / "pubmedqa/test_ground_truth.json", json.dumps({"99": "yes"}))
    with pytest.raises(UserError, match="lacks record '99'"):
        get_task("pubmedqa").load(root, "test")


def test_medmcqa_counts_its_answers_from_one_in_the_official_file_and_from_zero_on_the_hub(
    tmp_path: Path,
) -> None:
    row = {"id": "x", "question": "Largest bone", "opa": "Femur", "opb": "Tibia", "opc": "Ulna", "opd": "Rib"}
    official = write(tmp_path / "official/medmcqa/dev.json", json_lines([row | {"cop": 2}]))
    hub = tmp_path / "hub_root/hub/openlifescienceai/medmcqa/data/validation-00000-of-00001.parquet"
    hub.parent.mkdir(parents=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row | {"cop": 1}]), hub)
    task = get_task("medmcqa")
    assert [e.target for e in task.load(official.parents[1], "dev")] == [1]
    assert [e.target for e in task.load(tmp_path / "hub_root", "dev")] == [1]
    write(official, json_lines([row | {"cop": 0}]))
    with pytest.raises(UserError, match=r"dev.json:1: cop is 0; allowed: 1 to 4"):
        task.load(official.parents[1], "dev")


def test_the_hub_layout_of_medqa_serves_where_the_original_is_missing(tmp_path: Path) -> None:
    record = {
        "id": "0",
        "sent1": "Q?",
        "ending0": "a",
        "ending1": "b",
        "ending2": "c",
        "ending3": "d",
        "label": 3,
    }
    write(tmp_path / "hub/GBaker/MedQA-USMLE-4-options-hf/test.json", json_lines([record]))
    task = get_task("medqa")
    assert missing_files(task, tmp_path, "test") == []
    assert [(e.options, e.target) for e in task.load(tmp_path, "test")] == [(("a", "b", "c", "d"), 3)]


def test_mmlu_is_read_from_its_original_files_too(tmp_path: Path) -> None:
    for layout_file in get_task("mmlu_medical").splits["dev"][0].files:
        write(tmp_path / layout_file, '"Is a, b?",1,2,3,4,C\n')
    examples = get_task("mmlu_medical").load(tmp_path, "dev")
    assert len(examples) == 6
    assert examples[0] == Example("anatomy-000", "Is a, b?", options=("1", "2", "3", "4"), target=2, group="anatomy")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("22 - oxacalcitriol ( OCT ) , has", "22-oxacalcitriol (OCT), has"),
        ("0 . 03 microg / kg", "0.03 microg/kg"),
        ("the kidney . 2 dogs", "the kidney. 2 dogs"),
        ("1 , 000 rats , 20 mice", "1,000 rats, 20 mice"),
        ("Parkinson ' s disease", "Parkinson's disease"),
        ("5 ' end", "5' end"),
        ('the " off " state', 'the "off" state'),
        ("an 80 % risk [ 3 ]", "an 80% risk [3]"),
        ("p < 0 . 05 ; n = 3", "p < 0.05; n = 3"),
    ],
)
def test_tokens_are_joined_to_readable_text(words: str, text: str) -> None:
    assert join_tokens([Token(word, "O") for word in words.split()])[0] == text


def test_entities_are_cut_from_the_joined_text() -> None:
    tags = [
        ("22", "B-C"),
        ("-", "I-C"),
        ("OCT", "I-C"),
        (",", "O"),
        ("tea", "B-C"),
        ("tea", "B-C"),
        ("x", "O"),
    ]
    text, surfaces = join_tokens([Token(*pair) for pair in [*tags, ("y", "I-C")]])
    assert text == "22-OCT, tea tea x y"
    assert surfaces == ["22-OCT", "tea", "tea", "y"]


def test_phee_counts_a_shared_span_once_and_joins_a_split_one(tmp_path: Path) -> None:
    (example,) = get_task("phee").load(data_folder(tmp_path), "test")
    assert example.gold == (
        ("Effect", "Fever"),
        ("Route", "oral"),
        ("Drug", "tea"),
        ("Dosage", "2 g"),
        ("Disorder", "severe cough"),
    )


def test_conversations_lose_their_mixed_line_ends_only(tmp_path: Path) -> None:
    example = get_task("mts_dialog").load(data_folder(tmp_path), "test1")[0]
    assert example.source == "Doctor: Any allergies?\nPatient: None."
    assert get_task("aci_bench").load(tmp_path, "test1")[0].reference == (
        "CHIEF COMPLAINT\n\nKnee pain.\n\nASSESSMENT AND PLAN\n\nRest."
    )


def test_a_limit_takes_the_same_records_whatever_their_order() -> None:
    examples = [Example(str(number), "q") for number in range(50)]
    chosen = {example.id for example in lowest_ids(examples, 7)}
    assert chosen == {example.id for example in lowest_ids(examples[::-1], 7)}
    assert len(chosen) == 7
    with pytest.raises(UserError, match="limit is 0"):
        lowest_ids(examples, 0)


def test_equal_sentences_get_ids_of_their_own(tmp_path: Path) -> None:
    write(tmp_path / "ner/NCBI-disease-IOB/test.tsv", "Tea\tO\n\nTea\tO\n")
    ids = [example.id for example in get_task("ncbi_disease").load(tmp_path, "test")]
    assert ids[1] == f"{ids[0]}-2"


def test_the_same_record_twice_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "medqa/phrases_no_exclude_test.jsonl", json_lines([MEDQA_RECORDS[0]] * 2))
    with pytest.raises(UserError, match="stands twice"):
        get_task("medqa").load(tmp_path, "test")
