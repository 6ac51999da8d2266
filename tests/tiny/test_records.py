"""Instruction records of the embedded study: valid, distinct, about the training entities alone."""

from __future__ import annotations

from collections import Counter

from bioinstruct.records import build_record_set, check_fields
from bioinstruct.tiny import tiny_records
from bioinstruct.tiny.instructions import NUM_RECORDS
from bioinstruct.tiny.world import build_world


def test_every_category_has_its_number_of_valid_records() -> None:
    records = [check_fields(raw, place=f"record {number}") for number, raw in enumerate(tiny_records())]
    assert Counter(record["category"] for record in records) == NUM_RECORDS


def test_no_two_records_ask_the_same() -> None:
    record_set = build_record_set(tiny_records(), source="tiny")
    assert record_set.num_duplicates == 0
    assert record_set.num_normalised_inputs == 0


def test_records_are_the_same_for_a_seed_and_others_for_another() -> None:
    assert tiny_records() == tiny_records(0)
    assert tiny_records(1) != tiny_records(0)


def test_no_record_mentions_a_held_out_entity() -> None:
    text = "\n".join("\n".join(record.values()) for seed in (0, 1) for record in tiny_records(seed))
    world = build_world()
    assert not any(name in text for group in ("dev", "test") for name in world.entity_names(group))
    assert all(drug.name in text for drug in world.drugs_of("train"))


def test_answers_of_extraction_records_are_copied_from_the_note_in_order() -> None:
    for record in (r for r in tiny_records() if r["category"] == "ie" and r["output"] != "None"):
        position = 0
        for line in record["output"].split("\n"):
            position = record["input"].index(line.partition(": ")[2], position)


def test_a_trial_record_is_answered_by_its_criteria() -> None:
    records = [r for r in tiny_records() if r["input"].startswith("A patient of") and r["category"] == "other"]
    assert Counter(r["output"] for r in records).keys() == {"Eligible.", "Not eligible."}
    for record in records:
        words = record["input"].rstrip(".").split()
        age, condition, limit, needed = int(words[3]), words[6], int(words[-3]), words[-1]
        assert (record["output"] == "Eligible.") == (age >= limit and condition == needed)
