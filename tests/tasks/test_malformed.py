"""Every way in which a task file can be broken is named by file and line; nothing is scored in silence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bioinstruct.errors import UserError
from bioinstruct.tasks import get_task
from tests.tasks.fixtures import data_folder, write

Damage = Callable[[bytes], bytes]

MEDQA = ("medqa", "test", "medqa/phrases_no_exclude_test.jsonl")
PUBMEDQA = ("pubmedqa", "dev", "pubmedqa/ori_pqal.json")
MEDMCQA = ("medmcqa", "dev", "mirage/benchmark.json")
NER = ("bc5cdr_chemical", "test", "ner/BC5CDR-chem-IOB/test.tsv")
PHEE = ("phee", "test", "phee/test.json")
MTS = ("mts_dialog", "test1", "mts_dialog/MTS-Dialog-TestSet-1-MEDIQA-Chat-2023.csv")
ACI = ("aci_bench", "test1", "aci_bench/clinicalnlp_taskB_test1.csv")


def cut(content: bytes) -> bytes:
    return content[: len(content) * 2 // 3]


def swap(old: str, new: str) -> Damage:
    def damage(content: bytes) -> bytes:
        assert old.encode() in content
        return content.replace(old.encode(), new.encode(), 1)

    return damage


def empty(_: bytes) -> bytes:
    return b""


def latin(content: bytes) -> bytes:
    position = content.rfind(b"e")
    return content[:position] + b"\xe9" + content[position + 1 :]


@pytest.mark.parametrize(
    ("place", "damage", "message"),
    [
        (MEDQA, cut, "test.jsonl:3: broken JSON"),
        (MEDQA, swap('"answer_idx"', '"answer_index"'), "test.jsonl:1: answer_idx is missing"),
        (MEDQA, swap('"Vitamin D"', '""'), "test.jsonl:1: C is empty"),
        (
            MEDQA,
            swap('"answer_idx": "B"', '"answer_idx": "F"'),
            "test.jsonl:1: answer_idx is 'F'; allowed: A, B",
        ),
        (
            MEDQA,
            swap('"answer_idx": "D"', '"answer_idx": "A"'),
            "test.jsonl:2: answer_idx A and answer 'Panc",
        ),
        (MEDQA, swap('"D": "Pancreas"', '"E": "Pancreas"'), "test.jsonl:2: options are A, B, C, E"),
        (MEDQA, latin, "test.jsonl:3: byte 0xe9 is not UTF-8"),
        (MEDQA, empty, "holds no examples"),
        (PUBMEDQA, cut, "ori_pqal.json:[0-9]+: broken JSON"),
        (PUBMEDQA, swap('"12": {', '"11": {'), "ori_pqal.json:[0-9]+: key '11' stands twice"),
        (
            PUBMEDQA,
            swap('"final_decision": "no"', '"final_decision": ""'),
            "ori_pqal.json:[0-9]+: record '12': final_decision is empty",
        ),
        (
            PUBMEDQA,
            swap('"final_decision": "no"', '"final_decision": "No"'),
            "is 'No'; allowed: yes, no, maybe",
        ),
        (
            PUBMEDQA,
            swap('"CONTEXTS"', '"CONTEXT"'),
            "ori_pqal.json:[0-9]+: record '11': CONTEXTS is NoneType",
        ),
        (PUBMEDQA, latin, "ori_pqal.json:[0-9]+: byte 0xe9"),
        (MEDMCQA, swap('"medmcqa"', '"medmc"'), "has no part 'medmcqa'"),
        (
            MEDMCQA,
            swap('"answer": "A"', '"answer": 1'),
            "benchmark.json:3: record 'q-1': answer is int, expected a text",
        ),
        (NER, cut, "test.tsv:[0-9]+: expected a token, a tab"),
        (NER, swap("I-Chemical", "I-Drug"), "test.tsv:14: expected a token.*I-Chemical"),
        (NER, swap("ulcers\tO", "ulcers O"), "test.tsv:4: expected a token"),
        (NER, latin, "test.tsv:19: byte 0xe9"),
        (PHEE, cut, "test.json:1: broken JSON"),
        (PHEE, swap('"start": [[17]]', '"start": [[18]]'), "test.json:1: Drug 'tea' does not stand at 18"),
        (PHEE, swap('"context"', '"text_"'), "test.json:1: context is missing"),
        (PHEE, swap('"events"', '"event"'), "test.json:1: events is NoneType"),
        (MTS, cut, "csv:[0-9]+: (unexpected end of data|[0-9]+ fields)"),
        (MTS, swap("section_text", "text"), "csv:1: no column 'section_text'"),
        (MTS, swap("No known allergies.", ""), "csv:3: section_text is empty"),
        (MTS, swap("ALLERGY", "ALLERGIES"), "csv:3: section_header is 'ALLERGIES'"),
        (MTS, swap("\r\n1,CC", "\r\n0,CC"), "id '0' stands twice"),
        (MTS, latin, "csv:[0-9]+: byte 0xe9"),
        (ACI, swap("dataset,", '"dataset" ,'), "csv:1: ',' expected after"),
        (ACI, cut, "csv:[0-9]+: unexpected end of data"),
        (ACI, swap("D2N001", " "), "csv:[0-9]+: encounter_id is empty"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(
    tmp_path: Path, place: tuple[str, str, str], damage: Damage, message: str
) -> None:
    name, split, file = place
    root = data_folder(tmp_path)
    if name == "pubmedqa":
        (root / "pubmedqa/test_ground_truth.json").unlink()
    write(root / file, damage((root / file).read_bytes()))
    with pytest.raises(UserError, match=message) as caught:
        get_task(name).load(root, split)
    assert Path(file).name in str(caught.value)


def test_a_json_record_that_is_no_object_is_named_with_its_line(tmp_path: Path) -> None:
    write(tmp_path / "pubmedqa/ori_pqal.json", json.dumps({"11": "yes"}, indent=1))
    with pytest.raises(UserError, match=r"ori_pqal.json:2: record '11' is str"):
        get_task("pubmedqa").load(tmp_path, "dev")
