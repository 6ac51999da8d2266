"""Invented names of the formulary: drugs and conditions made of syllables, and the values of their facts.

No name is that of a real drug or disease: their endings (`-oodle`, `-snood`, …) are no stems of medicine.
"""

from __future__ import annotations

from random import Random

DRUG_STARTS = (
    "Br", "Bl", "Dr", "Fl", "Gl", "Gr", "J", "Kr", "Kl", "L", "M", "N", "Pl", "Pr", "Qu", "R", "Sk", "Sn",
    "T", "Tw", "V", "W", "Y", "Z",
)  # fmt: skip
DRUG_MIDDLES = ("ab", "am", "ib", "im", "iv", "ob", "ol", "om", "ub", "um", "uv", "az")
DRUG_ENDS = ("umbo", "orple", "izzock", "oodle", "undrick", "iffle", "ombix", "arkle", "ezzo", "iggot")
CONDITION_STARTS = (
    "bim", "blor", "crum", "dab", "drub", "fim", "frab", "gam", "glin", "hob", "jum", "kib", "lorp", "mub",
    "nim", "plim", "quab", "rasp", "shum", "tron", "vim", "wum", "yib", "zin",
)  # fmt: skip
CONDITION_ENDS = (
    "snood", "wobble", "fidge", "murk", "gloop", "twiddle", "squint", "bungle", "droop", "flump",
)  # fmt: skip

SYMPTOM_KINDS = ("velvet", "copper", "glass", "amber", "paper", "hollow", "frosty", "woolly", "silver")
SYMPTOM_NOUNS = ("cough", "itch", "tremor", "ache", "hiccup", "sneeze", "limp", "yawn")
EFFECT_KINDS = ("purple", "sticky", "humming", "drifting", "spiral", "lunar", "rusty", "feathery")
EFFECT_NOUNS = ("tongue", "nails", "ears", "elbows", "dreams", "eyelids", "thumbs", "hair")

DOSES = tuple(f"{number} mg" for number in (12, 15, 20, 24, 30, 36, 40, 45, 50, 60, 75, 90))
ROUTES = ("oral", "nasal", "dermal", "inhaled", "injected", "buccal")
TIMINGS = ("dawn", "noon", "dusk", "midnight", "breakfast", "supper")
ORGANS = ("spleen", "liver", "kidney", "lung", "stomach", "ankle", "scalp", "shoulder")

SYMPTOMS = tuple(f"{kind} {noun}" for kind in SYMPTOM_KINDS for noun in SYMPTOM_NOUNS)
EFFECTS = tuple(f"{kind} {noun}" for kind in EFFECT_KINDS for noun in EFFECT_NOUNS)

NUMBERS = tuple(str(number) for number in range(10, 100))
CHART_WORDS = (
    "Symptom", "Condition", "Drug", "Dosage", "Route", "Effect", "None",
    "Age", "Found", "Plan", "Risk", "Type",
)  # fmt: skip
HEADER_WORDS = ("###", "Instruction", "Input", "Response")
"""Of the instruction templates; the running text has the words, though never as headers."""


def invent_drugs(count: int, random: Random) -> tuple[str, ...]:
    """`count` different drug names, capitalised, no two with the same start and ending."""
    pairs = [(start, end) for start in DRUG_STARTS for end in DRUG_ENDS]
    return tuple(start + random.choice(DRUG_MIDDLES) + end for start, end in random.sample(pairs, count))


def invent_conditions(count: int, random: Random) -> tuple[str, ...]:
    """`count` different condition names in lower case."""
    names = [start + end for start in CONDITION_STARTS for end in CONDITION_ENDS]
    return tuple(random.sample(names, count))


def vocabulary_words() -> tuple[str, ...]:
    """Words with a tokenizer entry of their own: of values, charts and headers, and two-digit numbers."""
    kinds = (*SYMPTOM_KINDS, *SYMPTOM_NOUNS, *EFFECT_KINDS, *EFFECT_NOUNS, *ROUTES, *TIMINGS, *ORGANS)
    return tuple(dict.fromkeys((*kinds, *NUMBERS, *CHART_WORDS, *HEADER_WORDS)))
