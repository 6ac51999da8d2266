"""The closed tasks of the study and the further open companions, on hand-made files of their published
layouts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bioinstruct.errors import UserError
from bioinstruct.tasks import get_task
from bioinstruct.tasks.base import Answer, Example, Generation, Item, TaskScore, missing_files
from bioinstruct.tasks.notes import divide_note
from tests.tasks.fixtures import STATUS_CSV, TEMPLATE, closed_data_folder, craft_xml, data_folder, write


def load(tmp_path: Path, name: str, split: str = "test") -> list[Example]:
    return get_task(name).load(closed_data_folder(tmp_path), split)


def render(tmp_path: Path, name: str, protocol: str, split: str = "test") -> list[Item]:
    return get_task(name).render(load(tmp_path, name, split), protocol, TEMPLATE)


def answered(items: list[Item], name: str, texts: list[str]) -> TaskScore:
    answers = [Answer(i.id, generation=Generation(text, 1)) for i, text in zip(items, texts, strict=True)]
    return get_task(name).score(items, answers)


def test_bioasq_keeps_its_yes_no_questions_with_their_snippets(tmp_path: Path) -> None:
    first, second = load(tmp_path, "bioasq", "11b")
    assert (first.id, first.source, first.target) == ("q1", "Tea is a drug.\nIt is hot.", 0)
    assert (second.id, second.source, second.target) == ("q2", "", 1)


def test_bioasq_misses_every_batch_of_an_edition(tmp_path: Path) -> None:
    assert len(missing_files(get_task("bioasq"), tmp_path, "test")) == 25
    (closed_data_folder(tmp_path) / "bioasq/11B3_golden.json").unlink()
    assert [path.name for path in missing_files(get_task("bioasq"), tmp_path, "11b")] == ["11B3_golden.json"]


def test_mirage_asks_for_json_in_its_own_words(tmp_path: Path) -> None:
    (item,) = render(tmp_path, "pubmedqa_mirage", "mirage")
    assert item.context == (
        "### Instruction:\nYou are a helpful medical expert, and your task is to answer a multi-choice "
        "medical "
        "question. Please first think step-by-step and then choose the answer from the provided options. "
        "Organize "
        'your output in a json formatted as Dict{"step_by_step_thinking": Str(explanation), "answer_choice": '
        "Str{A/B/C/...}}. Your responses will be used for research purposes only, so please have a definite "
        "answer."
        "\n\n### Input:\nHere is the question:\nDoes tea help?\n\nHere are the potential choices:\nA. "
        "yes\nB. no\n"
        "C. maybe\n\nPlease think step-by-step and generate your output in json:\n\n### Response:\n"
    )
    text = '{"step_by_step_thinking": "A or B? No.", "answer_choice": "C"}'
    assert answered([item], "pubmedqa_mirage", [text]).metrics["acc_generated"].value == 1.0
    assert get_task("pubmedqa_mirage").new_tokens("mirage") == 1024


def test_mednli_is_scored_over_three_labels_in_a_family_of_its_own(tmp_path: Path) -> None:
    first, second = render(tmp_path, "mednli", "alpaca")
    assert get_task("mednli").family == "nli"
    assert first.continuations == ("entailment", "contradiction", "neutral")
    assert (first.target, second.target) == (1, 2)
    assert "Premise: He has no fever.\nHypothesis: He is febrile." in first.context


def test_rqe_pairs_become_yes_and_no(tmp_path: Path) -> None:
    assert [(e.id, e.target) for e in load(tmp_path, "rqe")] == [("1", 0), ("2", 1)]


def test_the_empty_pair_of_the_published_rqe_training_file_is_left_out(tmp_path: Path) -> None:
    empty = '<pair pid="5860" value="true"><chq>A?</chq><faq> </faq></pair>'
    whole = '<pair pid="5861" value="true"><chq>A?</chq><faq>B?</faq></pair>'
    write(tmp_path / "rqe/RQE_Train_8588_AMIA2016.xml", f"<RQE>{empty}\n{whole}</RQE>")
    assert [e.id for e in get_task("rqe").load(tmp_path, "train")] == ["5861"]


def test_medication_lists_are_read_in_both_notations(tmp_path: Path) -> None:
    first, second = load(tmp_path, "medication_status")
    assert first.gold == (("active", "aspirin"), ("active", "Lasix"), ("discontinued", "warfarin"))
    assert second.gold == (("neither", "penicillin"),)


def test_medication_status_is_asked_in_the_words_of_its_paper(tmp_path: Path) -> None:
    item = render(tmp_path, "medication_status", "official")[1]
    assert item.context == (
        "Allergic to penicillin.\n\nCreate a bulleted list of which medications are mentioned and whether "
        "they are "
        "active, discontinued, or neither.\n"
    )
    assert item.reference == "- penicillin (neither)"


def test_medication_status_scores_names_and_statuses_apart(tmp_path: Path) -> None:
    items = render(tmp_path, "medication_status", "alpaca")
    score = answered(items, "medication_status", ["- Aspirin (active)\n- warfarin: active\n- tea (neither)", "?"])
    assert score.metrics["precision"].value == pytest.approx(2 / 3)
    assert score.metrics["recall"].value == 0.5
    # Unconditional: active P 1/2 R 1/2, discontinued and neither 0. Conditional: aspirin right, warfarin
    # wrong. assert score.metrics["status_macro_f1"].value == pytest.approx(0.5 / 3)
    assert score.metrics["status_accuracy"].value == 0.25
    assert score.metrics["status_accuracy_conditional"].value == 0.5
    assert score.metrics["status_macro_f1_conditional"].value == pytest.approx(2 / 3 / 3)
    assert [item.parse for item in score.items] == ["ok", "none"]


def test_a_column_mapping_beside_the_data_is_used_and_checked(tmp_path: Path) -> None:
    (example,) = load(tmp_path, "coreference")
    assert example.gold == (("antecedent", "The mass"), ("antecedent", "mass"))
    assert example.question == 'What does "it" in the text refer to? Answer with the phrase of the text alone.'
    write(tmp_path / "clinical_ie/columns.yaml", "coreference: {nouns: noun}\n")
    with pytest.raises(UserError, match=r"columns.yaml: coreference has unknown 'nouns'; known: snippet, pronoun"):
        get_task("coreference").load(tmp_path, "test")


def test_coreference_takes_the_closest_antecedent(tmp_path: Path) -> None:
    items = render(tmp_path, "coreference", "alpaca")
    score = answered(items, "coreference", ['"it" refers to "the mass".\nBecause.'])
    assert score.metrics["exact_match"].value == 1.0
    assert answered(items, "coreference", ["mass grew"]).metrics["token_f1"].value == pytest.approx(2 / 3)


def test_craft_asks_for_pronouns_and_accepts_what_was_named_before(tmp_path: Path) -> None:
    examples = load(tmp_path, "craft_coreference", "all")
    assert [example.question.split(" refer")[0] for example in examples] == [
        'What does "it" in "small. In mice it binds its receptor."',
        'What does "its" in "mice it binds its receptor. These cells"',
        'What does "they" in "cells grow, and they divide."',
    ]
    assert [example.gold for example in examples] == [
        (("antecedent", "The gene Bmp4"),),
        (("antecedent", "The gene Bmp4"),),
        (("antecedent", "These cells"),),
    ]


def test_equal_questions_of_patients_stay_apart(tmp_path: Path) -> None:
    first, second = load(tmp_path, "icliniq", "all")
    assert second.id == f"{first.id}-2"
    assert (first.reference, second.reference) == ("Drink tea.", "Rest.")


def test_meqsum_is_read_from_its_workbook(tmp_path: Path) -> None:
    (example,) = load(tmp_path, "meqsum", "all")
    assert (example.source, example.reference) == ("SUBJECT: tea\nMESSAGE: is it safe?", "Is tea safe?")


def test_a_note_is_divided_at_its_headers() -> None:
    note = "CC:\nCough.\n\nPHYSICAL EXAM\n\nLungs clear.\n\nRESULTS\n\nPLAN\n\nRest.\n\nINSTRUCTIONS\n\nCall."
    assert divide_note(note) == {
        "subjective": "CC:\nCough.",
        "objective_exam": "PHYSICAL EXAM\n\nLungs clear.",
        "objective_results": "RESULTS",
        "assessment_and_plan": "PLAN\n\nRest.\n\nINSTRUCTIONS\n\nCall.",
    }


def test_a_division_is_an_item_of_its_own(tmp_path: Path) -> None:
    examples = get_task("aci_bench_divisions").load(data_folder(tmp_path), "test1")
    assert [example.id for example in examples] == ["D2N001-subjective", "D2N001-assessment_and_plan"]


@pytest.mark.parametrize(
    ("name", "split", "file", "content", "message"),
    [
        ("bioasq", "11b", "bioasq/11B2_golden.json", "{}", r'11B2_golden.json: expected an object with a list "quest'),
        (
            "bioasq",
            "11b",
            "bioasq/11B2_golden.json",
            json.dumps({"questions": [{"id": "x", "type": "yesno", "body": "B", "exact_answer": ""}]}),
            "question 1: exact_answer is ''",
        ),
        (
            "mednli",
            "test",
            "mednli/mli_test_v1.jsonl",
            '{"pairID": "1"}\n',
            "mli_test_v1.jsonl:1: sentence2 is missing",
        ),
        ("rqe", "test", "rqe/RQE_Test_302_pairs_AMIA2016.xml", "<RQE>\n<pair", "2016.xml:2: broken XML"),
        (
            "rqe",
            "test",
            "rqe/RQE_Test_302_pairs_AMIA2016.xml",
            '<RQE>\n<pair pid="1" value="true"><chq>A</chq></pair>\n</RQE>',
            "2016.xml:2: faq is missing",
        ),
        (
            "medication_status",
            "test",
            "clinical_ie/medication_status_test.csv",
            STATUS_CSV.replace("'Lasix']", "'Lasix'"),
            "status_test.csv:2: active_medications",
        ),
        ("icliniq", "all", "icliniq/iCliniq.json", '[{"input": "A"}]', "iCliniq.json: record 1: answer_icliniq is m"),
        (
            "icliniq",
            "all",
            "icliniq/iCliniq.json",
            '[{"input": "A", "answer_icliniq": " "}]',
            "record 1: answer_icliniq is empty",
        ),
        ("craft_coreference", "all", "craft/coreference/1.xml", craft_xml()[:300], r"1.xml:\d+: broken XML"),
        (
            "craft_coreference",
            "all",
            "craft/articles/1.txt",
            "Another text altogether",
            "1.xml: annotation m0: 'The gene Bmp4' does not stand at",
        ),
        ("craft_coreference", "all", "craft/coreference/2.xml", craft_xml(), "has no article 2.txt"),
        ("meqsum", "all", "meqsum/MeQSum_ACL2019_BenAbacha_Demner-Fushman.xlsx", "no", "not a readable workbook"),
    ],
)
def test_a_malformed_file_is_named(
    tmp_path: Path, name: str, split: str, file: str, content: str, message: str
) -> None:
    root = closed_data_folder(tmp_path)
    write(root / file, content)
    with pytest.raises(UserError, match=message):
        get_task(name).load(root, split)
