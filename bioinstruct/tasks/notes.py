"""Doctor–patient conversations to clinical notes: MTS-Dialog (one section) and ACI-Bench (the whole note)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
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


DIVISIONS = {
    "subjective": "subjective part (chief complaint, histories, medications, review of systems)",
    "objective_exam": "physical exam",
    "objective_results": "results",
    "assessment_and_plan": "assessment and plan",
}
"""The four divisions in which ACI-Bench scores a note (Yim et al. 2023), and how we ask for them [C]."""

OTHER_HEADERS = {
    "objective_exam": ("PHYSICAL EXAM", "PHYSICAL EXAMINATION", "EXAM", "VITALS", "VITALS REVIEWED"),
    "objective_results": ("RESULTS",),
    "assessment_and_plan": (
        "ASSESSMENT",
        "PLAN",
        "ASSESSMENT AND PLAN",
        "IMPRESSION",
        "INSTRUCTIONS",
        "PROCEDURE",
    ),
}
SUBJECTIVE_HEADERS = re.compile(
    r"CC|CHIEF COMPLAINT|HPI|HISTORY OF PRESENT ILLNESS|SUBJECTIVE|REVIEW OF SYSTEMS|ALLERGIES"
    r"|(CURRENT )?MEDICATIONS|(PAST )?(MEDICAL |SURGICAL |SOCIAL |FAMILY |BIRTH )?HISTORY"
)
"""Headers of all 127 published notes that open the subjective division."""


def clean_lines(text: str) -> str:
    """The text with line ends as \\n and without white space around its lines: both files mix them [C]."""
    return "\n".join(line.strip() for line in text.splitlines()).strip()


def read_mts(paths: Sequence[Path]) -> list[Example]:
    """Rows of MTS-Dialog: ID, section_header, section_text, dialogue."""
    examples = []
    for place, row in reading.csv_rows(paths[0], columns=("ID", "section_header", "section_text", "dialogue")):
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


def divide_note(note: str) -> dict[str, str]:
    """The note's text by division, headers included; what stands before the first header is subjective."""
    parts: dict[str, list[str]] = {}
    division = "subjective"
    for line in note.split("\n"):
        division = _division_of(line) or division
        parts.setdefault(division, []).append(line)
    texts = {name: "\n".join(parts.get(name, [])).strip() for name in DIVISIONS}
    return {name: text for name, text in texts.items() if text}


def _division_of(line: str) -> str | None:
    header = line.strip().rstrip(":")
    if SUBJECTIVE_HEADERS.fullmatch(header):
        return "subjective"
    return next((name for name, headers in OTHER_HEADERS.items() if header in headers), None)


def read_aci_divisions(paths: Sequence[Path]) -> list[Example]:
    """One example for every division that an ACI-Bench note has."""
    return [
        replace(
            example,
            id=f"{example.id}-{name}",
            question=(
                f"Write the {DIVISIONS[name]} of the clinical note of the following conversation between "
                "doctor and "
                "patient, with section headers."
            ),
            reference=text,
            group=name,
        )
        for example in read_aci(paths)
        for name, text in divide_note(example.reference).items()
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

ACI_FILES = {
    "test": "aci_bench/clinicalnlp_taskC_test2.csv",
    "test1": "aci_bench/clinicalnlp_taskB_test1.csv",
    "test3": "aci_bench/clef_taskC_test3.csv",
    "dev": "aci_bench/valid.csv",
    "train": "aci_bench/train.csv",
}
ACI_HOW_TO_GET = (
    "Free (CC BY 4.0): the CSV files of data/challenge_data/ at https://github.com/wyim/aci-bench go into "
    "aci_bench/ "
    "below the data root; split `test` is test set 2, `test1` and `test3` are the two others"
)

ACI_BENCH = Task(
    name="aci_bench",
    family="gen",
    kind="generation",
    protocols=("alpaca",),
    splits={split: (Layout((name,), read_aci),) for split, name in ACI_FILES.items()},
    how_to_get=ACI_HOW_TO_GET,
    render=render_writing,
    score=score_writing,
    max_new_tokens=1024,
    shots_split="train",
)

ACI_BENCH_DIVISIONS = Task(
    name="aci_bench_divisions",
    family="gen",
    kind="generation",
    protocols=("alpaca",),
    splits={split: (Layout((name,), read_aci_divisions),) for split, name in ACI_FILES.items()},
    how_to_get=ACI_HOW_TO_GET,
    render=render_writing,
    score=score_writing,
    max_new_tokens=512,
    shots_split="train",
)
