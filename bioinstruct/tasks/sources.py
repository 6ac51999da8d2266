"""Where dataset files come from, and their sha256: a changed file is noticed when it is read.

Files without an entry (gated ones, and test halves that were not at hand when this table was made) are
recorded with their sha256 in the score file instead.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

from bioinstruct.runs import file_sha256
from bioinstruct.tasks.base import Example, Task

logger = logging.getLogger(__name__)

SOURCES: dict[str, tuple[str, str]] = {
    "aci_bench/clinicalnlp_taskB_test1.csv": (
        "https://github.com/wyim/aci-bench",
        "5cc4008e68545f84913744a8e493a58bdf17ba7e1b7a0be46d6943d6bfca9471",
    ),
    "aci_bench/train.csv": (
        "https://github.com/wyim/aci-bench",
        "6c778d4ac5e6cc6f1964786f9286e8d765c210f22ed6b57f83aff8497409cea4",
    ),
    "aci_bench/valid.csv": (
        "https://github.com/wyim/aci-bench",
        "6629e89e3fb409d2b3eceab60dc7b32fe1d3fb8d4e07795039284965522aa4d0",
    ),
    "craft/articles/17194222.txt": (
        "https://github.com/UCDenver-ccp/CRAFT",
        "57117347f077d99a79d75507c27f704a6e4527cea798e901617cf8776361518b",
    ),
    "craft/articles/17244351.txt": (
        "https://github.com/UCDenver-ccp/CRAFT",
        "49cac93e4cf0e4a2a301eb514551ee589dbdd1eeb4735591ba7ac53288faa4b1",
    ),
    "craft/articles/17425782.txt": (
        "https://github.com/UCDenver-ccp/CRAFT",
        "96dbcb06535f22dc91891a6c5bb07869ce0f238f4d6b39dd5fa896fadd07b6f0",
    ),
    "craft/articles/17447844.txt": (
        "https://github.com/UCDenver-ccp/CRAFT",
        "94fd5eb2d388df49abcc1fd919d16c30725fbcbb28c3a0c3b1d90c1fcbf28aab",
    ),
    "craft/articles/17590087.txt": (
        "https://github.com/UCDenver-ccp/CRAFT",
        "ca99e33a6061ab7cd038a471c1fcb8b28621677d0621a7235f1c647b3b3c7770",
    ),
    "craft/articles/17608565.txt": (
        "https://github.com/UCDenver-ccp/CRAFT",
        "6661fcca120af2cc66d0fd3b086c16722587bae5d0121add85761544657e09a9",
    ),
    "craft/articles/17696610.txt": (
        "https://github.com/UCDenver-ccp/CRAFT",
        "81e533c27c7acbc3fcb4b4915e002d0458bc35f45a755d723bb66dbcf9134645",
    ),
    "craft/coreference/17194222.xml": (
        "https://github.com/UCDenver-ccp/CRAFT",
        "225bfd9b06b3c4c4af7d159d67857fde616233d01541cceb6dbb3ff3c1c57e6e",
    ),
    "craft/coreference/17244351.xml": (
        "https://github.com/UCDenver-ccp/CRAFT",
        "e33a370bb55ce49fbd82d96b2a9d9a23d276af000d67d50bf892cce3b74c9fa3",
    ),
    "craft/coreference/17425782.xml": (
        "https://github.com/UCDenver-ccp/CRAFT",
        "54a126f5b8f923783a047d9ce661be5ba1cb9a9cde7775a1dcc73f3e65cffcc7",
    ),
    "craft/coreference/17447844.xml": (
        "https://github.com/UCDenver-ccp/CRAFT",
        "52dcf1fcd11d917a1a9df14aac878debccff53b208b578724b2636d855facc58",
    ),
    "craft/coreference/17590087.xml": (
        "https://github.com/UCDenver-ccp/CRAFT",
        "10f7aeebf73a5f5341f1da1e9ea7625fb286e3f10430468881494d63df8a5ac0",
    ),
    "craft/coreference/17608565.xml": (
        "https://github.com/UCDenver-ccp/CRAFT",
        "2c7315ae4eb9f27ab242d01644edf368fd459e9998de5d7b3d21e666b07682f4",
    ),
    "craft/coreference/17696610.xml": (
        "https://github.com/UCDenver-ccp/CRAFT",
        "d9ae0d76131f202dac04b8ed5dbb4ae2cea08deddf1436e351869bc2d7be7fb7",
    ),
    "medqa/phrases_no_exclude_dev.jsonl": (
        "https://github.com/stellalisy/mediQ",
        "a94d993863d583a78ad8d9400c90d9b34943c27e77d3c662df890a4774b3a335",
    ),
    "meqsum/MeQSum_ACL2019_BenAbacha_Demner-Fushman.xlsx": (
        "https://github.com/abachaa/MeQSum",
        "abedd939d5014306ca576522416bf69103e85dc8fcf1668a4099e8b84a39eeea",
    ),
    "mts_dialog/MTS-Dialog-TestSet-1-MEDIQA-Chat-2023.csv": (
        "https://github.com/abachaa/MTS-Dialog",
        "b4d38dd2c99b2e9860099abcf653f1e0f3e9b69f9fcc45be2a2699b37a4d2f37",
    ),
    "mts_dialog/MTS-Dialog-TrainingSet.csv": (
        "https://github.com/abachaa/MTS-Dialog",
        "65a28681dd59fc159681ea026e44610f2af7bc64a0e7f892d763eb03d9f503dc",
    ),
    "mts_dialog/MTS-Dialog-ValidationSet.csv": (
        "https://github.com/abachaa/MTS-Dialog",
        "227206520c4534381c0d7fba6d3f09319a9af5a6d9603a93c0341af1198e3958",
    ),
    "ner/BC5CDR-chem-IOB/devel.tsv": (
        "https://github.com/cambridgeltl/MTL-Bioinformatics-2016",
        "3f1df5cfcff95735663ffc37121fd3687e82b1e9a019bec0480491502652721b",
    ),
    "ner/BC5CDR-chem-IOB/train.tsv": (
        "https://github.com/cambridgeltl/MTL-Bioinformatics-2016",
        "165c4cd2efadd0caf1bb8f3c6bcd3acca199446bb3d55eb06d9137114c9a0b2d",
    ),
    "ner/BC5CDR-disease-IOB/devel.tsv": (
        "https://github.com/cambridgeltl/MTL-Bioinformatics-2016",
        "8c3af95475029c2100c2b7c0108b2715bc700ac198c7a21d587f11f1d06b17bd",
    ),
    "ner/BC5CDR-disease-IOB/train.tsv": (
        "https://github.com/cambridgeltl/MTL-Bioinformatics-2016",
        "d630dafe7dd67e21350cc3278dbdcfadcccbb2b63d0fda83b2427853988e5ad9",
    ),
    "ner/NCBI-disease-IOB/devel.tsv": (
        "https://github.com/cambridgeltl/MTL-Bioinformatics-2016",
        "b4e1e7efcc2a35047bf2f3d281648357470e674f555d4a26a0049ac37d59cc61",
    ),
    "ner/NCBI-disease-IOB/train.tsv": (
        "https://github.com/cambridgeltl/MTL-Bioinformatics-2016",
        "58379baf4614b8d757d93dd7a21b202849ca99f9b9d71b49185523ff5443300c",
    ),
    "phee/dev.json": (
        "https://github.com/ZhaoyueSun/PHEE",
        "e1e24c0dfbe6f624e590a26d294f3082d0142ffc28b9da56761f1dd45e96aa53",
    ),
    "phee/train.json": (
        "https://github.com/ZhaoyueSun/PHEE",
        "a2d6cbdae3d95cb3a7e13439164c002041061f6f9823608af483c82d17a31f2b",
    ),
    "rqe/RQE_Test_302_pairs_AMIA2016.xml": (
        "https://github.com/abachaa/RQE_Data_AMIA2016",
        "0d7d97c8858971edfafad578d39e739129dad33a94cb690277f79f1b1d1b4e80",
    ),
    "rqe/RQE_Train_8588_AMIA2016.xml": (
        "https://github.com/abachaa/RQE_Data_AMIA2016",
        "4729784635c1e9a07d06c91a5efb50bad298758c51705dbf6c7dabcd87adc854",
    ),
}
"""File below the data root → (source, sha256 of the file as it was published or selected)."""


EXAMPLES: dict[str, str] = {
    "pubmedqa/ori_pqal.json#pubmedqa/dev": "5a1ebef83eba0191a119e9c958615650",
    "mirage/benchmark.json#medmcqa/dev": "1ffef79db44197a816b024e8238ee3fa",
    "mirage/benchmark.json#mmlu_medical/test": "53ddf633f0893da7c136e1cb5956b00c",
}
"""File#task/split → digest of the examples, for files that are read in part and published in several
extents."""


def check_sources(task: Task, root: Path, split: str, examples: Sequence[Example]) -> dict[str, str]:
    """sha256 of the files a split is read from, by name; a warning where content is not the known one."""
    paths = task.layout(root, split).paths(root)
    found = {str(path.relative_to(root)): file_sha256(path) for path in paths}
    for name, digest in found.items():
        known = SOURCES.get(name, ("", ""))[1]
        if known and digest != known:
            _warn(root / name, digest, known)
        known_examples = EXAMPLES.get(f"{name}#{task.name}/{split}", "")
        if known_examples and examples_digest(examples) != known_examples:
            _warn(f"{root / name} (part {task.name}, {split})", examples_digest(examples), known_examples)
    return found


def examples_digest(examples: Sequence[Example]) -> str:
    """First 32 hex digits of sha256 over the examples, whatever their order in the file."""
    rows = sorted(([*astuple(example)] for example in examples), key=lambda row: str(row[0]))
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()[:32]


def _warn(what: object, digest: str, known: str) -> None:
    logger.warning(
        "%s has sha256 %s…, the known release %s…: it was edited or is another release, so scores on it may "
        "not "
        "compare with others; get the original again if that was not intended",
        what,
        digest[:12],
        known[:12],
    )
