"""The task table: every evaluation dataset by name. To add one, write its file beside this and name it
here."""

from __future__ import annotations

from bioinstruct.errors import UserError
from bioinstruct.tasks.base import Task
from bioinstruct.tasks.exams import MEDMCQA, MEDQA, MMLU_MEDICAL
from bioinstruct.tasks.ner import BC5CDR_CHEMICAL, BC5CDR_DISEASE, NCBI_DISEASE
from bioinstruct.tasks.notes import ACI_BENCH, MTS_DIALOG
from bioinstruct.tasks.phee import PHEE
from bioinstruct.tasks.pubmedqa import PUBMEDQA
from bioinstruct.tasks.tiny import TINY_GEN, TINY_IE, TINY_QA

TASKS: dict[str, Task] = {
    "medqa": MEDQA,
    "medmcqa": MEDMCQA,
    "pubmedqa": PUBMEDQA,
    "mmlu_medical": MMLU_MEDICAL,
    "bc5cdr_chemical": BC5CDR_CHEMICAL,
    "bc5cdr_disease": BC5CDR_DISEASE,
    "ncbi_disease": NCBI_DISEASE,
    "phee": PHEE,
    "mts_dialog": MTS_DIALOG,
    "aci_bench": ACI_BENCH,
    "tiny_qa": TINY_QA,
    "tiny_ie": TINY_IE,
    "tiny_gen": TINY_GEN,
}


def get_task(name: str) -> Task:
    """The task of a name; UserError listing the known names for another one."""
    if name not in TASKS:
        raise UserError(f"unknown task {name!r}; known: {', '.join(TASKS)}")
    return TASKS[name]
