"""Root verb and object of an instruction by rules, for the diversity picture of Self-Instruct (Wang et al. 2023).

Self-Instruct parses with a neural model; these rules need none and are coarser: the verb is the first known verb
that begins a clause, or the question word; the object is the head of the noun phrase behind it, or "–".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


VERBS = _words(
    """
    add advise analyse analyze answer arrange ask assess assign break build calculate categorize categorise
    check choose cite clarify classify collect combine comment compare compile complete compose compute
    conclude condense confirm consider construct contrast convert copy correct count create critique debate
    decide deduce define demonstrate derive describe design detail detect determine develop devise diagnose
    differentiate discuss distinguish draft edit elaborate eliminate elucidate enumerate establish estimate
    evaluate examine expand explain explore express extract fill find formulate gather generate give group
    help highlight hypothesize hypothesise identify illustrate imagine improve indicate infer inform interpret
    investigate judge justify label list locate make map mark match mention modify name normalize offer order
    organize organise outline paraphrase perform pick plan point predict prepare present prioritize prioritise
    produce propose provide pull put quantify rank rate read recall recommend record relate rephrase replace
    reply report resolve respond restate return review revise rewrite rule say select sequence shorten show
    simplify solve sort specify spot state suggest summarize summarise support synthesize tell test trace
    transcribe transform translate turn uncover update use verify weigh write
    """
)
QUESTION_WORDS = _words(
    """
    what which who whom whose when where why how is are was were do does did can could should would will has
    """
)
SKIPPED = _words(
    """
    it them a an the this that these those your my his her its their our any all each every some one two three four
    five six few several given provided following specific particular certain possible potential most least
    likely appropriate main key common brief short detailed simple clear new different various relevant
    important other up out down and or to
    """
)
BREAKS = _words(
    """
    of for in on from with without that which who by about as based using into between among if whether how
    why what when where is are was were be can could should would may might associated related caused used
    described mentioned listed according regarding concerning than so but
    """
)
LEADERS = _words(
    """
    please then briefly first next now
    """
)
CLAUSE = re.compile(r"[,;:.!?]\s+|\s+(?:and|then)\s+")
WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")
NO_OBJECT = "–"


def root_verb_and_object(instruction: str) -> tuple[str, str] | None:
    """(verb, object) of the first clause that begins with a known verb or question word, or None."""
    for clause in CLAUSE.split(instruction):
        words = [word.lower() for word in WORD.findall(clause)]
        while words and words[0] in LEADERS:
            words = words[1:]
        if words and (words[0] in VERBS or words[0] in QUESTION_WORDS):
            return words[0], _head_noun(words[1:])
    return None


def _head_noun(words: list[str]) -> str:
    """The last word of the first noun phrase, singular where an s marks the plural."""
    phrase: list[str] = []
    for word in words:
        if word in BREAKS:
            break
        if word in SKIPPED:
            if phrase:
                break
            continue
        phrase.append(word)
    return _singular(phrase[-1]) if phrase else NO_OBJECT


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("gnoses", "heses", "yses")):
        return word[:-2] + "is"
    keeps_s = ("ss", "us", "is", "'s")
    return word[:-1] if word.endswith("s") and not word.endswith(keeps_s) and len(word) > 3 else word


def count_verbs(instructions: Iterable[str]) -> tuple[Counter[tuple[str, str]], int]:
    """How often each (verb, object) occurs, and how many instructions have no known verb."""
    found = [root_verb_and_object(instruction) for instruction in instructions]
    return Counter(pair for pair in found if pair is not None), found.count(None)
