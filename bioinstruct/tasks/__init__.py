"""The task table: every evaluation dataset by name. To add one, write its file and name it here."""

from __future__ import annotations

from bioinstruct.errors import UserError
from bioinstruct.tasks.base import Task
from bioinstruct.tasks.bioasq import BIOASQ, BIOASQ_MIRAGE, PUBMEDQA_MIRAGE
from bioinstruct.tasks.clinical_ie import COREFERENCE, MEDICATION_STATUS
from bioinstruct.tasks.craft import CRAFT_COREFERENCE
from bioinstruct.tasks.exams import MEDMCQA, MEDQA, MMLU_MEDICAL
from bioinstruct.tasks.ner import BC5CDR_CHEMICAL, BC5CDR_DISEASE, NCBI_DISEASE
from bioinstruct.tasks.nli import MEDNLI, RQE
from bioinstruct.tasks.notes import ACI_BENCH, ACI_BENCH_DIVISIONS, MTS_DIALOG
from bioinstruct.tasks.phee import PHEE
from bioinstruct.tasks.pubmedqa import PUBMEDQA
from bioinstruct.tasks.questions import ICLINIQ, MEQSUM
from bioinstruct.tasks.tiny import TINY_GEN, TINY_IE, TINY_QA

TASKS: dict[str, Task] = {
    "medqa": MEDQA,
    "medmcqa": MEDMCQA,
    "pubmedqa": PUBMEDQA,
    "bioasq": BIOASQ,
    "mmlu_medical": MMLU_MEDICAL,
    "pubmedqa_mirage": PUBMEDQA_MIRAGE,
    "bioasq_mirage": BIOASQ_MIRAGE,
    "mednli": MEDNLI,
    "rqe": RQE,
    "medication_status": MEDICATION_STATUS,
    "coreference": COREFERENCE,
    "bc5cdr_chemical": BC5CDR_CHEMICAL,
    "bc5cdr_disease": BC5CDR_DISEASE,
    "ncbi_disease": NCBI_DISEASE,
    "phee": PHEE,
    "craft_coreference": CRAFT_COREFERENCE,
    "mts_dialog": MTS_DIALOG,
    "aci_bench": ACI_BENCH,
    "aci_bench_divisions": ACI_BENCH_DIVISIONS,
    "icliniq": ICLINIQ,
    "meqsum": MEQSUM,
    "tiny_qa": TINY_QA,
    "tiny_ie": TINY_IE,
    "tiny_gen": TINY_GEN,
}


def get_task(name: str) -> Task:
    """The task of a name; UserError listing the known names for another one."""
    if name not in TASKS:
        raise UserError(f"unknown task {name!r}; known: {', '.join(TASKS)}")
    return TASKS[name]
