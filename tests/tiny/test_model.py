"""The shipped tiny LLaMA is what its recipe says: inputs by hash, knowledge by cloze probes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from bioinstruct.runs import JsonValue, read_json
from bioinstruct.tiny import MODEL_FOLDER
from bioinstruct.tiny.names import vocabulary_words
from bioinstruct.tiny.probes import cloze_probes, probe_scores
from bioinstruct.tiny.texts import corpus_hash, running_text
from bioinstruct.tiny.world import GROUPS, build_world

BUILD = Path(__file__).parents[2] / "experiments" / "tiny_base" / "build.py"
REBUILD = "the shipped model is stale: run python experiments/tiny_base/build.py"


@pytest.fixture(scope="module")
def recipe() -> dict[str, JsonValue]:
    return read_json(MODEL_FOLDER / "recipe.json")


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return cast(PreTrainedTokenizerBase, AutoTokenizer.from_pretrained(MODEL_FOLDER))


def test_the_recipe_has_the_hashes_of_its_inputs(recipe: dict[str, JsonValue]) -> None:
    numbers = cast(dict[str, int], recipe["recipe"])
    documents = running_text(numbers["num_documents"], seed=numbers["seed"])
    assert corpus_hash(documents) == recipe["corpus_sha256"], REBUILD
    assert hashlib.sha256(BUILD.read_bytes()).hexdigest() == recipe["build_sha256"], REBUILD


def test_the_weights_are_a_few_megabytes_of_float32() -> None:
    weights = MODEL_FOLDER / "model.safetensors"
    assert weights.stat().st_size < 5_000_000
    with safe_open(weights, framework="pt") as file:
        assert {file.get_tensor(name).dtype.__str__() for name in file.keys()} == {"torch.float32"}  # noqa: SIM118


def test_the_base_knows_the_facts_as_recorded(recipe: dict[str, JsonValue], tokenizer: PreTrainedTokenizerBase) -> None:
    model = AutoModelForCausalLM.from_pretrained(MODEL_FOLDER).eval()
    every_seventh = cloze_probes(build_world())[::7]
    assert len(every_seventh) == 124
    scores = probe_scores(model, tokenizer, every_seventh)
    assert scores == pytest.approx(recipe["probes"], abs=0.02)
    assert min(scores.values()) > 0.95


@given(st.text(st.characters(codec="utf-8")))
@settings(deadline=None, max_examples=100)
def test_any_text_survives_the_tokenizer(tokenizer: PreTrainedTokenizerBase, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("text", ["<s></s><pad>", " Gramoodle's\n\nGRAMOODLE gramoodle ", "\u0000 é 🧪\t3.5 mg"])
def test_special_tokens_case_and_white_space_survive_too(tokenizer: PreTrainedTokenizerBase, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    assert tokenizer.decode(ids) == text
    assert not set(ids) & set(tokenizer.all_special_ids)


def test_encoding_adds_one_bos_and_the_specials_are_three(tokenizer: PreTrainedTokenizerBase) -> None:
    ids = tokenizer.encode("The dose is 15 mg.")
    assert ids.count(tokenizer.bos_token_id) == 1
    assert ids[0] == tokenizer.bos_token_id
    assert len({tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}) == 3


def test_names_and_values_are_one_token_wherever_they_stand(tokenizer: PreTrainedTokenizerBase) -> None:
    world = build_world()
    entities = [name for group in GROUPS for name in world.entity_names(group)]
    for word in (*entities, *vocabulary_words()):
        alone = tokenizer.encode(word, add_special_tokens=False)
        assert len(alone) == 1
        assert tokenizer.encode(f"of {word}.", add_special_tokens=False)[-2:-1] == alone
