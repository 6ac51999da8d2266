from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bioinstruct.batching import EncodedRecord, build_step, pack_bins, pack_records, pad_records, plan_steps
from tests.engine import CATEGORIES, make_records

A = EncodedRecord("a" * 16, "ie", (1, 10, 11, 12, 2), 3)
B = EncodedRecord("b" * 16, "qa", (1, 20, 2), 2)


def test_every_epoch_visits_every_record_once_in_its_own_order() -> None:
    steps = plan_steps(10, records_per_step=4, epochs=2, seed=0)
    assert [len(s.records) for s in steps] == [4, 4, 2, 4, 4, 2]
    orders = [[i for s in steps if s.epoch == epoch for i in s.records] for epoch in (0, 1)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(10))
    assert orders[0] != orders[1]


def test_a_plan_cut_short_is_the_beginning_of_the_whole_plan() -> None:
    whole = plan_steps(10, records_per_step=3, epochs=3, seed=7)
    assert plan_steps(10, records_per_step=3, epochs=3, seed=7, max_steps=5) == whole[:5]
    assert plan_steps(10, records_per_step=3, epochs=3, seed=8) != whole


def test_supervised_rows_and_targets_of_a_packed_row() -> None:
    batch = pack_records([B, A], categories=CATEGORIES)
    assert batch.input_ids.tolist() == [[1, 10, 11, 12, 2, 1, 20, 2]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 4, 0, 1, 2]]
    assert batch.rows.tolist() == [2, 3, 6]
    assert batch.targets.tolist() == [12, 2, 2]
    assert batch.category_index.tolist() == [1, 1, 0]


def test_supervised_rows_and_targets_of_padded_rows() -> None:
    batch = pad_records([B, A], categories=CATEGORIES)
    assert batch.input_ids.tolist() == [[1, 20, 2, 0, 0], [1, 10, 11, 12, 2]]
    assert batch.rows.tolist() == [1, 7, 8]
    assert batch.targets.tolist() == [2, 12, 2]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(1, 5))
def test_bins_hold_every_record_once_and_divide_among_ranks(lengths: list[int], ranks: int) -> None:
    bins = pack_bins(lengths, capacity=64, multiple_of=ranks)
    assert sorted(index for members in bins for index in members) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in members) <= 64 for members in bins)
    assert len(bins) % ranks == 0


def test_another_token_budget_or_number_of_ranks_keeps_the_records_of_a_step() -> None:
    records = make_records(20)
    planned = plan_steps(20, records_per_step=8, epochs=1, seed=0)[0]
    steps = [
        build_step(planned, records, categories=CATEGORIES, tokens_per_batch=budget, packing=True)
        for budget in (40, 100, 1000)
    ]
    assert {step.record_ids for step in steps} == {tuple(records[i].record_id for i in planned.records)}
    assert len({step.num_response_tokens for step in steps}) == 1
    ranks = [
        build_step(planned, records, categories=CATEGORIES, tokens_per_batch=100, packing=True, rank=rank, world_size=2)
        for rank in (0, 1)
    ]
    assert len(ranks[0].micro_batches) == len(ranks[1].micro_batches)
    targets = sum(len(batch.targets) for step in ranks for batch in step.micro_batches)
    assert targets == steps[0].num_response_tokens == ranks[1].num_response_tokens
