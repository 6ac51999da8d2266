"""Hand-made evaluation files in the layouts of the real ones, and a backend of known answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from bioinstruct.prompts import Template
from bioinstruct.tasks.base import Generation, LogLikelihood

TEMPLATE = Template(
    name="plain",
    with_input="### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n",
    without_input="### Instruction:\n{instruction}\n\n### Response:\n",
    stop=["\n### Instruction:"],
)

MEDQA_RECORDS = [
    {
        "question": "Which vitamin prevents scurvy?",
        "answer": "Vitamin C",
        "options": {"A": "Vitamin A", "B": "Vitamin C", "C": "Vitamin D", "D": "Vitamin K"},
        "meta_info": "step1",
        "answer_idx": "B",
    },
    {
        "question": "Which organ makes insulin?",
        "answer": "Pancreas",
        "options": {"A": "Liver", "B": "Spleen", "C": "Kidney", "D": "Pancreas"},
        "meta_info": "step1",
        "answer_idx": "D",
    },
    {
        "question": "Which ion is low in hypokalemia?",
        "answer": "Potassium",
        "options": {"A": "Sodium", "B": "Potassium", "C": "Calcium", "D": "Chloride"},
        "meta_info": "step1",
        "answer_idx": "B",
    },
]

PUBMEDQA_RECORDS = {
    key: {
        "QUESTION": f"Does tea number {key} help?",
        "CONTEXTS": ["We gave tea.", f"{key} people slept."],
        "final_decision": label,
    }
    for key, label in (("11", "yes"), ("12", "no"), ("13", "maybe"), ("14", "yes"))
}

BENCHMARK = {
    "medmcqa": {
        "q-1": {
            "question": "Largest bone",
            "options": {"A": "Femur", "B": "Tibia", "C": "Ulna", "D": "Rib"},
            "answer": "A",
        }
    },
    "mmlu": {
        "college_medicine-000": {
            "question": "Normal pH of blood? ",
            "options": {"A": "6.4", "B": "7.4", "C": "8.4", "D": "9.4"},
            "answer": "B",
        }
    },
    "bioasq": {
        "b-1": {"question": "Is tea a drug?", "options": {"A": "yes", "B": "no"}, "answer": "B"},
    },
    "pubmedqa": {
        "11": {
            "question": "Does tea help?",
            "options": {"A": "yes", "B": "no", "C": "maybe"},
            "answer": "C",
            "PMID": [11],
        },
    },
}

IOB = """Aspirin\tB-Chemical
-\tO
induced\tO
ulcers\tO
(\tO
n\tO
=\tO
2\tO
.\tO
5\tO
)\tO
and\tO
acetylsalicylic\tB-Chemical
acid\tI-Chemical
.\tO

No\tO
drug\tO
here\tO
.\tO
"""

PHEE_RECORD = {
    "id": "1_1",
    "context": "Fever after oral tea, 2 g, for severe or mild cough.",
    "annotations": [
        {
            "events": [
                {
                    "event_type": "Adverse_event",
                    "Effect": {"text": [["Fever"]], "start": [[0]]},
                    "Treatment": {
                        "text": [["oral tea"]],
                        "start": [[12]],
                        "Drug": {"text": [["tea"]], "start": [[17]]},
                        "Route": {"text": [["oral"]], "start": [[12]]},
                        "Dosage": {"text": [["2 g"]], "start": [[22]]},
                        "Disorder": {"text": [["severe", "cough"]], "start": [[31, 46]]},
                    },
                },
                {
                    "event_type": "Adverse_event",
                    "Effect": {"text": [["Fever"]], "start": [[0]]},
                    "Treatment": {
                        "text": [["tea"]],
                        "start": [[17]],
                        "Drug": {"text": [["tea"]], "start": [[17]]},
                    },
                },
            ]
        }
    ],
}

MTS = (
    "ID,section_header,section_text,dialogue\r\n"
    '0,ALLERGY,No known allergies.,"Doctor: Any allergies? \r\n Patient: None."\r\n'
    '1,CC,"Cough, three days.","Doctor: What brings you in?\r\nPatient: A cough, for three days."\r\n'
)

ACI = (
    "dataset,encounter_id,dialogue,note\n"
    'virtassist,D2N001,"[doctor] hi .\n[patient] my knee hurts .",'
    '"CHIEF COMPLAINT\n\nKnee pain.\n\nASSESSMENT AND PLAN\n\nRest."\n'
)


def write(path: Path, content: str | bytes) -> Path:
    """Writes a fixture file, folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def json_lines(records: Sequence[object]) -> str:
    """Records as JSON Lines."""
    return "".join(json.dumps(record) + "\n" for record in records)


def data_folder(root: Path) -> Path:
    """A data root that holds the fixtures of the free tasks."""
    write(root / "medqa/phrases_no_exclude_test.jsonl", json_lines(MEDQA_RECORDS))
    write(root / "medqa/phrases_no_exclude_train.jsonl", json_lines(MEDQA_RECORDS[:1]))
    write(root / "pubmedqa/ori_pqal.json", json.dumps(PUBMEDQA_RECORDS, indent=1))
    write(root / "pubmedqa/test_ground_truth.json", json.dumps({"12": "no", "14": "yes"}))
    write(root / "mirage/benchmark.json", json.dumps(BENCHMARK, indent=1))
    write(root / "ner/BC5CDR-chem-IOB/test.tsv", IOB)
    write(root / "phee/test.json", json_lines([PHEE_RECORD]))
    write(root / "mts_dialog/MTS-Dialog-TestSet-1-MEDIQA-Chat-2023.csv", MTS)
    write(root / "aci_bench/clinicalnlp_taskB_test1.csv", ACI)
    return root


class HashBackend:
    """Its log-probability is a hash of context and continuation, its answers are given; counts what it is
    asked."""

    def __init__(
        self,
        answers: dict[str, str] | None = None,
        fingerprint: str = "hash",
        default_answer: str = "None",
    ) -> None:
        self.answers = answers or {}
        self.default_answer = default_answer
        self.fingerprint = fingerprint
        self.num_asked = 0

    def loglikelihood(self, pairs: Sequence[tuple[str, str]]) -> list[LogLikelihood]:
        self.num_asked += len(pairs)
        return [LogLikelihood(-hash_unit(context, text), 1, False) for context, text in pairs]

    def generate(self, prompts: Sequence[str], *, max_new_tokens: int, stop: Sequence[str]) -> list[Generation]:
        self.num_asked += len(prompts)
        return [
            Generation(self.answers.get(prompt, self.default_answer)[:max_new_tokens], len(stop)) for prompt in prompts
        ]


def hash_unit(context: str, continuation: str) -> float:
    """A number in [0, 16) that any change of context or continuation moves."""
    return int(hashlib.sha256(f"{context}\x1f{continuation}".encode()).hexdigest()[:8], 16) / 2**28


CRAFT_TEXT = "Title\n\nThe gene Bmp4 is small. In mice it binds its receptor. These cells grow, and they divide.\n"


def craft_xml(text: str = CRAFT_TEXT) -> str:
    """A Knowtator file: Bmp4 … it … its is one chain, These cells … they another."""
    mentions = [("The gene Bmp4", 0), ("it binds", 1), ("its receptor", 2), ("These cells", 3), ("they", 4)]
    words = {1: "it", 2: "its"}
    annotations, vertices = "", ""
    for phrase, number in mentions:
        start, word = text.index(phrase), words.get(number, phrase)
        annotations += (
            f'<annotation id="m{number}"><class id="c" label="Noun Phrase"/>'
            f'<span end="{start + len(word)}" id="s{number}" start="{start}">{word}</span></annotation>\n'
        )
        vertices += f'<vertex annotation="m{number}" id="n{number}"/>\n'
    edges = [("c1", 0), ("c1", 1), ("c1", 2), ("c2", 3), ("c2", 4)]
    triples = "".join(
        f'<triple id="e{number}" object="n{number}" property="Coreferring strings" subject="{chain}"/>\n'
        for chain, number in edges
    )
    document = f'<document>{annotations}<graph-space id="g">{vertices}{triples}</graph-space></document>'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<knowtator-project>\n{document}\n</knowtator-project>\n'


BIOASQ_QUESTIONS = {
    "questions": [
        {
            "id": "q1",
            "type": "yesno",
            "body": "Is tea a drug?",
            "exact_answer": "Yes",
            "snippets": [{"text": "Tea is a drug."}, {"text": "It is hot."}],
        },
        {"id": "q2", "type": "yesno", "body": "Is tea cold?", "exact_answer": ["no"], "snippets": []},
        {"id": "q3", "type": "factoid", "body": "What is tea?", "exact_answer": [["leaf"]], "snippets": []},
    ]
}

MEDNLI_RECORDS = [
    {
        "pairID": "p1",
        "sentence1": "He has no fever.",
        "sentence2": "He is febrile.",
        "gold_label": "contradiction",
    },
    {"pairID": "p2", "sentence1": "He coughs.", "sentence2": "He smokes.", "gold_label": "neutral"},
]

RQE_XML = """<?xml version="1.0" encoding="UTF-8"?>
<RQE-med-test>
<pair pid="1" type="part1" value="true">
<chq>How do I treat my cold, I have had it for long?</chq>
<faq>How is a cold treated?</faq>
</pair>
<pair pid="2" type="part1" value="false">
<chq>Is tea safe?</chq>
<faq>What is coffee?</faq>
</pair>
</RQE-med-test>
"""

STATUS_CSV = """snippet,active_medications,discontinued_medications,neither_medications
"Takes aspirin and Lasix; stopped warfarin.","['aspirin', 'Lasix']","['warfarin']",[]
"Allergic to penicillin.",,,penicillin
"""

COREFERENCE_CSV = """text,pronoun,noun
"The mass grew and it was removed.",it,"['The mass', 'mass']"
"""

ICLINIQ = [
    {"input": "Hello doctor, I cough.", "answer_icliniq": "Drink tea.", "answer_chatgpt": "Hm."},
    {"input": "Hello doctor, I cough.", "answer_icliniq": "Rest.", "answer_chatgpt": "Hm."},
]


def closed_data_folder(root: Path) -> Path:
    """A data root that holds fixtures of the closed tasks and of the further open ones."""
    import openpyxl

    write(root / "bioasq/11B1_golden.json", json.dumps(BIOASQ_QUESTIONS, indent=1))
    for batch in (2, 3, 4):
        write(root / f"bioasq/11B{batch}_golden.json", '{"questions": []}')
    write(root / "mednli/mli_test_v1.jsonl", json_lines(MEDNLI_RECORDS))
    write(root / "rqe/RQE_Test_302_pairs_AMIA2016.xml", RQE_XML)
    write(root / "clinical_ie/medication_status_test.csv", STATUS_CSV)
    write(root / "clinical_ie/coreference_test.csv", COREFERENCE_CSV)
    write(root / "clinical_ie/columns.yaml", "coreference: {snippet: text, antecedent: noun}\n")
    write(root / "icliniq/iCliniq.json", json.dumps(ICLINIQ))
    write(root / "craft/articles/1.txt", CRAFT_TEXT)
    write(root / "craft/coreference/1.xml", craft_xml())
    write(root / "mirage/benchmark.json", json.dumps(BENCHMARK, indent=1))
    workbook = openpyxl.Workbook()
    for row in (("File", "CHQ", "Summary"), ("1.txt", "SUBJECT: tea\nMESSAGE: is it safe?", "Is tea safe?")):
        workbook.worksheets[0].append(row)
    (root / "meqsum").mkdir()
    workbook.save(root / "meqsum/MeQSum_ACL2019_BenAbacha_Demner-Fushman.xlsx")
    return root
