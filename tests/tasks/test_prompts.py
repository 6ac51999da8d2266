from __future__ import annotations

from pathlib import Path

from bioinstruct.prompts import Template
from bioinstruct.tasks import get_task
from bioinstruct.tasks.base import Item
from tests.tasks.fixtures import TEMPLATE, data_folder


def items(
    tmp_path: Path, name: str, protocol: str, *, split: str = "test", template: Template = TEMPLATE
) -> list[Item]:
    task = get_task(name)
    return task.render(task.load(data_folder(tmp_path), split), protocol, template)


def test_medqa_is_asked_as_by_lm_evaluation_harness(tmp_path: Path) -> None:
    item = items(tmp_path, "medqa", "lm_eval")[0]
    assert item.context == (
        "Question: Which vitamin prevents scurvy?\nA. Vitamin A\nB. Vitamin C\nC. Vitamin D\nD. Vitamin K\nAnswer:"
    )
    assert item.continuations == (" A", " B", " C", " D")
    assert item.target == 1


def test_medmcqa_is_asked_as_by_lm_evaluation_harness(tmp_path: Path) -> None:
    item = items(tmp_path, "medmcqa", "lm_eval", split="dev")[0]
    assert item.context == "Question: Largest bone\nChoices:\nA. Femur\nB. Tibia\nC. Ulna\nD. Rib\nAnswer:"
    assert (item.continuations, item.target) == ((" A", " B", " C", " D"), 0)


def test_pubmedqa_is_asked_as_by_lm_evaluation_harness(tmp_path: Path) -> None:
    item = items(tmp_path, "pubmedqa", "lm_eval")[0]
    assert item.context == "Abstract: We gave tea.\n12 people slept.\nQuestion: Does tea number 12 help?\nAnswer:"
    assert (item.continuations, item.target) == ((" yes", " no", " maybe"), 1)


def test_mmlu_names_its_subject_as_by_lm_evaluation_harness(tmp_path: Path) -> None:
    item = items(tmp_path, "mmlu_medical", "lm_eval")[0]
    assert item.context == (
        "The following are multiple choice questions (with answers) about college medicine.\n\n"
        "Normal pH of blood?\nA. 6.4\nB. 7.4\nC. 8.4\nD. 9.4\nAnswer:"
    )


def test_option_texts_are_scored_without_being_shown(tmp_path: Path) -> None:
    item = items(tmp_path, "medqa", "lm_eval_text")[0]
    assert item.context == "Question: Which vitamin prevents scurvy?\nAnswer:"
    assert item.continuations == (" Vitamin A", " Vitamin C", " Vitamin D", " Vitamin K")


def test_alpaca_puts_the_same_question_into_the_template(tmp_path: Path) -> None:
    item = items(tmp_path, "medqa", "alpaca")[0]
    assert item.context == (
        "### Instruction:\nAnswer the following multiple-choice question with the letter of the correct "
        "option.\n\n"
        "### Input:\nWhich vitamin prevents scurvy?\nA. Vitamin A\nB. Vitamin C\nC. Vitamin D\nD. Vitamin "
        "K\n\n"
        "### Response:\n"
    )
    assert item.continuations == ("A", "B", "C", "D")


def test_an_answer_follows_a_space_where_the_template_ends_without_one(tmp_path: Path) -> None:
    template = Template("tight", "{instruction} {input} Answer:", "{instruction} Answer:", [])
    assert items(tmp_path, "pubmedqa", "alpaca", template=template)[0].continuations == (
        " yes",
        " no",
        " maybe",
    )


def test_a_written_answer_has_no_continuations(tmp_path: Path) -> None:
    generated, scored = (items(tmp_path, "medqa", name)[0] for name in ("alpaca_generate", "alpaca"))
    assert generated.continuations == ()
    assert generated.context == scored.context


def test_entities_are_asked_for_one_a_line(tmp_path: Path) -> None:
    first, second = items(tmp_path, "bc5cdr_chemical", "alpaca")
    assert first.context == (
        "### Instruction:\nList every chemical mentioned in the text in order of appearance, one line for "
        "each "
        "mention, as Chemical: text, or None if there is none.\n\n"
        "### Input:\nAspirin-induced ulcers (n = 2.5) and acetylsalicylic acid.\n\n### Response:\n"
    )
    assert first.reference == "Chemical: Aspirin\nChemical: acetylsalicylic acid"
    assert second.reference == "None"


def test_a_note_section_is_asked_for_by_its_name(tmp_path: Path) -> None:
    item = items(tmp_path, "mts_dialog", "alpaca", split="test1")[1]
    assert item.context == (
        "### Instruction:\nWrite the chief complaint section of the clinical note of the following "
        "conversation "
        "between doctor and patient.\n\n### Input:\nDoctor: What brings you in?\nPatient: A cough, for "
        "three days."
        "\n\n### Response:\n"
    )
    assert item.reference == "Cough, three days."
