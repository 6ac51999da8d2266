"""One optimizer step has one gradient, however it is cut."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft.tuners.lora import LoraLayer

from bioinstruct.batching import EncodedRecord, MicroBatch, pack_records, pad_records
from bioinstruct.config.schema import LoraVariant, Recompute
from bioinstruct.loss import head_cross_entropy
from bioinstruct.recompute import checkpoint_layers
from tests.engine import CATEGORIES, batch_loss, gradients, load_small, make_records
from tests.small_model import save_small_llama


def cut(records: list[EncodedRecord], size: int, *, packed: bool) -> list[MicroBatch]:
    build = pack_records if packed else pad_records
    return [build(records[i : i + size], categories=CATEGORIES) for i in range(0, len(records), size)]


@pytest.mark.parametrize("heads", [4, 2])
def test_packed_padded_and_accumulated_steps_have_the_same_gradient(tmp_path: Path, heads: int) -> None:
    model = load_small(save_small_llama(tmp_path, num_key_value_heads=heads))
    records = make_records(12)
    one_by_one = gradients(model, cut(records, 1, packed=False))
    assert one_by_one.norm() > 1e-3
    for batches in (
        cut(records, 12, packed=True),
        cut(records, 12, packed=False),
        cut(records, 5, packed=True),
        cut(records, 1, packed=True),
    ):
        assert (gradients(model, batches) - one_by_one).abs().max() < 1e-12


@pytest.mark.parametrize("recompute", [Recompute.selective, Recompute.full])
def test_recomputed_layers_have_the_same_gradient(small_llama: Path, recompute: Recompute) -> None:
    records = make_records(6)
    plain = gradients(load_small(small_llama), cut(records, 6, packed=True))
    model = load_small(small_llama)
    checkpoint_layers(model, recompute)
    assert torch.equal(gradients(model, cut(records, 6, packed=True)), plain)


def test_a_record_does_not_see_its_neighbours(small_llama: Path) -> None:
    model = load_small(small_llama)
    first, second = make_records(2)
    changed = EncodedRecord(second.record_id, second.category, second.input_ids[::-1], second.prompt_length)
    losses = []
    for neighbour in (second, changed):
        batch = pack_records([first, neighbour], categories=CATEGORIES)
        mine = batch.category_index == CATEGORIES.index(first.category)
        losses.append(batch_loss(model, batch)[1][mine])
    assert torch.equal(losses[0], losses[1])


def test_the_loss_is_that_of_transformers(small_llama: Path) -> None:
    model = load_small(small_llama)
    record = make_records(1)[0]
    reference = model.get_base_model()
    reference.set_attn_implementation("eager")
    logits = reference(input_ids=torch.tensor([record.input_ids])).logits[0]
    predicted = logits[record.prompt_length - 1 : -1]
    answer = torch.tensor(record.input_ids[record.prompt_length :])
    expected = torch.nn.functional.cross_entropy(predicted, answer)
    model = load_small(small_llama)
    total, losses = batch_loss(model, pack_records([record], categories=CATEGORIES))
    assert torch.allclose(total / record.num_response_tokens, expected, rtol=1e-12)
    assert torch.allclose(losses.sum(), total)


def test_the_loss_and_its_gradient_match_plain_cross_entropy() -> None:
    torch.manual_seed(0)
    hidden = torch.randn(2500, 8, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(30, 8, dtype=torch.float64)
    targets = torch.randint(30, (2500,))
    total, losses = head_cross_entropy(hidden, weight, targets)
    (mine,) = torch.autograd.grad(3 * total, hidden)
    plain = torch.nn.functional.cross_entropy(hidden @ weight.T, targets, reduction="none")
    (expected,) = torch.autograd.grad(3 * plain.sum(), hidden)
    assert torch.allclose(losses, plain, atol=1e-12)
    assert torch.allclose(mine, expected, atol=1e-12)


def test_eos_is_learnt_even_where_it_is_the_padding_token(small_llama: Path) -> None:
    record = EncodedRecord("0" * 16, "qa", (0, 5, 6, 0), 2)
    batch = pad_records([record, make_records(1)[0]], categories=CATEGORIES)
    assert batch.targets[:2].tolist() == [6, 0]


@pytest.mark.parametrize("variant", ["lora", "rslora"])
def test_the_fused_forward_is_that_of_peft(small_llama: Path, variant: str) -> None:
    fused = load_small(small_llama, variant=LoraVariant(variant))
    plain = load_small(small_llama, variant=LoraVariant(variant))
    layers = [module for module in plain.modules() if isinstance(module, LoraLayer)]
    assert len(layers) == 14
    for layer in layers:
        del layer.forward  # back to PEFT's own
    batches = cut(make_records(6), 6, packed=True)
    expected = gradients(plain, batches)
    assert expected.norm() > 1e-3
    assert (gradients(fused, batches) - expected).abs().max() < 1e-12


def test_dora_keeps_the_forward_of_peft(small_llama: Path) -> None:
    model = load_small(small_llama, variant=LoraVariant.dora)
    assert not any("forward" in vars(module) for module in model.modules() if isinstance(module, LoraLayer))
    assert gradients(model, cut(make_records(6), 6, packed=True)).norm() > 1e-3


def test_dropout_draws_in_training_only(small_llama: Path) -> None:
    model = load_small(small_llama, dropout=0.5)
    batch = cut(make_records(6), 6, packed=True)[0]
    assert not torch.equal(batch_loss(model, batch)[1], batch_loss(model, batch)[1])
    model.eval()
    assert torch.equal(batch_loss(model, batch)[1], batch_loss(model, batch)[1])
