"""Questions of patients and consumers: iCliniq (the doctor's answer) and MeQSum (the question's summary)."""

from __future__ import annotations

import hashlib
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from bioinstruct.errors import UserError
from bioinstruct.tasks import reading
from bioinstruct.tasks.base import Example, Layout, Task
from bioinstruct.tasks.writing import render_writing, score_writing

DOCTOR_QUESTION = "If you are a doctor, please answer the medical questions based on the patient's description."
"""The instruction of ChatDoctor (Li et al. 2023)."""

SUMMARY_QUESTION = "Summarize the following consumer health question as one short question."
"""[C]"""

ANSWER_FIELDS = ("answer_icliniq", "output")
"""The doctor's answer: ChatDoctor's iCliniq.json has the first, copies in instruction format the second."""


def read_icliniq(paths: Sequence[Path]) -> list[Example]:
    """Records of ChatDoctor's iCliniq.json: input and answer_icliniq; the other answers are not read."""
    path = paths[0]
    rows = reading.parquet_rows(path) if path.suffix == ".parquet" else reading.json_list(path)
    pairs = []
    for place, record in rows:
        key = next((name for name in ANSWER_FIELDS if name in record), ANSWER_FIELDS[0])
        question = reading.text_field(record, "input", place=place).strip()
        pairs.append((question, reading.text_field(record, key, place=place).strip()))
    return _numbered(pairs, question=DOCTOR_QUESTION)


def read_meqsum(paths: Sequence[Path]) -> list[Example]:
    """Rows of MeQSum's workbook: File, CHQ, Summary."""
    import openpyxl

    _check_zip(paths[0])
    sheet = openpyxl.load_workbook(paths[0], read_only=True).worksheets[0]
    pairs = []
    header: list[object] = []
    for number, row in enumerate(sheet.iter_rows(max_col=3, values_only=True), start=1):
        if number == 1:
            header = list(row)
            if header != ["File", "CHQ", "Summary"]:
                raise UserError(f"{paths[0]}:1: columns are {header}; expected File, CHQ, Summary")
        elif any(row):
            record = dict(zip(("File", "CHQ", "Summary"), row, strict=True))
            place = f"{paths[0]}:{number}"
            pairs.append(
                (
                    reading.text_field(record, "CHQ", place=place).strip(),
                    reading.text_field(record, "Summary", place=place).strip(),
                )
            )
    return _numbered(pairs, question=SUMMARY_QUESTION)


def _check_zip(path: Path) -> None:
    """Raises UserError unless every part of a workbook (a ZIP archive) has its checksum."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            is_workbook = "xl/workbook.xml" in archive.namelist()
    except (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, ValueError, OSError, EOFError) as error:
        raise UserError(f"{path} is not a readable workbook ({error}); get the file again") from error
    if damaged or not is_workbook:
        raise UserError(f"{path} is not a readable workbook (damaged: {damaged or 'no sheets'}); get the file again")


def _numbered(pairs: Iterable[tuple[str, str]], *, question: str) -> list[Example]:
    """Examples whose id is a hash of the text, numbered where a text stands more than once."""
    seen: Counter[str] = Counter()
    examples = []
    for source, reference in pairs:
        digest = hashlib.sha256(source.encode()).hexdigest()[:16]
        seen[digest] += 1
        identity = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        examples.append(Example(identity, question, source=source, reference=reference))
    return examples


ICLINIQ = Task(
    name="icliniq",
    family="gen",
    kind="generation",
    protocols=("alpaca",),
    splits={
        "all": (
            Layout(("icliniq/iCliniq.json",), read_icliniq),
            Layout(("hub/lavita/ChatDoctor-iCliniq/data/*.parquet",), read_icliniq),
        )
    },
    how_to_get=(
        "Free: iCliniq.json (about 7,300 records) linked in the README of "
        "https://github.com/Kent0n-Li/ChatDoctor goes "
        "into icliniq/ below the data root; or run `hf download --repo-type dataset "
        "lavita/ChatDoctor-iCliniq "
        "--local-dir <data root>/hub/lavita/ChatDoctor-iCliniq`"
    ),
    render=render_writing,
    score=score_writing,
    max_new_tokens=256,
)

MEQSUM = Task(
    name="meqsum",
    family="gen",
    kind="generation",
    protocols=("alpaca",),
    splits={"all": (Layout(("meqsum/MeQSum_ACL2019_BenAbacha_Demner-Fushman.xlsx",), read_meqsum),)},
    how_to_get=(
        "Free (CC BY 4.0): the workbook of https://github.com/abachaa/MeQSum goes into meqsum/ below the data root"
    ),
    render=render_writing,
    score=score_writing,
    max_new_tokens=64,
)
