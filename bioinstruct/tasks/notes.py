"""Doctor–patient conversations to clinical notes: MTS-Dialog (one section) and ACI-Bench (the whole note)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bioinstruct.errors import UserError
from bioinstruct.tasks import reading
from bioinstruct.tasks.base import Example, Layout, Task
from bioinstruct.tasks.writing import render_writing, score_writing

SECTIONS = {
    "ALLERGY": "allergies",
    "ASSESSMENT": "assessment",
    "CC": "chief complaint",
    "DIAGNOSIS": "diagnosis",
    "DISPOSITION": "disposition",
    "EDCOURSE": "emergency department course",
    "EXAM": "exam",
    "FAM/SOCHX": "family history and social history",
    "GENHX": "history of present illness",
    "GYNHX": "gynecologic history",
    "IMAGING": "imaging",
    "IMMUNIZATIONS": "immunizations",
    "LABS": "labs",
    "MEDICATIONS": "medications",
    "OTHER_HISTORY": "other history",
    "PASTMEDICALHX": "past medical history",
    "PASTSURGICAL": "past surgical history",
    "PLAN": "plan",
    "PROCEDURES": "procedures",
    "ROS": "review of systems",
}
"""Section headers of MTS-Dialog as its README spells them out."""

NOTE_QUESTION = (
    "Write the clinical note of the following conversation between doctor and patient, with its sections "
    "and their "
    "headers, from the chief complaint to the assessment and plan."
)
"""[C]"""


def clean_lines(text: str) -> str:
    """The text with line ends as \\n and without white space around its lines: both files mix them [C]."""
    return "\n".join(line.strip() for line in text.splitlines()).strip()


def read_mts(paths: Sequence[Path]) -> list[Example]:
    """Rows of MTS-Dialog: ID, section_header, section_text, dialogue."""
    examples = []
    for place, row in reading.csv_rows(
        paths[0], columns=("ID", "section_header", "section_text", "dialogue")
    ):
        header = reading.text_field(row, "section_header", place=place).strip().upper()
        if header not in SECTIONS:
            raise UserError(f"{place}: section_header is {header!r}; known: {', '.join(SECTIONS)}")
        examples.append(
            Example(
                id=reading.text_field(row, "ID", place=place),
                question=(
                    f"Write the {SECTIONS[header]} section of the clinical note of the following "
                    "conversation between "
                    "doctor and patient."
                ),
                source=clean_lines(reading.text_field(row, "dialogue", place=place)),
                reference=clean_lines(reading.text_field(row, "section_text", place=place)),
                group=header,
            )
        )
    return examples


def read_aci(paths: Sequence[Path]) -> list[Example]:
    """Rows of ACI-Bench: dataset, encounter_id, dialogue, note."""
    return [
        Example(
            id=reading.text_field(row, "encounter_id", place=place),
            question=NOTE_QUESTION,
            source=clean_lines(reading.text_field(row, "dialogue", place=place)),
            reference=clean_lines(reading.text_field(row, "note", place=place)),
            group=row["dataset"],
        )
        for place, row in reading.csv_rows(paths[0], columns=("dataset", "encounter_id", "dialogue", "note"))
    ]


MTS_DIALOG = Task(
    name="mts_dialog",
    family="gen",
    kind="generation",
    protocols=("alpaca",),
    splits={
        "test": (Layout(("mts_dialog/MTS-Dialog-TestSet-2-MEDIQA-Sum-2023.csv",), read_mts),),
        "test1": (Layout(("mts_dialog/MTS-Dialog-TestSet-1-MEDIQA-Chat-2023.csv",), read_mts),),
        "dev": (Layout(("mts_dialog/MTS-Dialog-ValidationSet.csv",), read_mts),),
        "train": (Layout(("mts_dialog/MTS-Dialog-TrainingSet.csv",), read_mts),),
    },
    how_to_get=(
        "Free (CC BY 4.0): the CSV files of Main-Dataset/ at https://github.com/abachaa/MTS-Dialog go into "
        "mts_dialog/ "
        "below the data root; split `test` is test set 2, `test1` is test set 1"
    ),
    render=render_writing,
    score=score_writing,
    max_new_tokens=256,
    shots_split="train",
)

ACI_BENCH = Task(
    name="aci_bench",
    family="gen",
    kind="generation",
    protocols=("alpaca",),
    splits={
        "test": (Layout(("aci_bench/clinicalnlp_taskC_test2.csv",), read_aci),),
        "test1": (Layout(("aci_bench/clinicalnlp_taskB_test1.csv",), read_aci),),
        "test3": (Layout(("aci_bench/clef_taskC_test3.csv",), read_aci),),
        "dev": (Layout(("aci_bench/valid.csv",), read_aci),),
        "train": (Layout(("aci_bench/train.csv",), read_aci),),
    },
    how_to_get=(
        "Free (CC BY 4.0): the CSV files of data/challenge_data/ at https://github.com/wyim/aci-bench go "
        "into "
        "aci_bench/ below the data root; split `test` is test set 2, `test1` and `test3` are the two others"
    ),
    render=render_writing,
    score=score_writing,
    max_new_tokens=1024,
    shots_split="train",
)
