from __future__ import annotations

import pytest
import torch
from peft import PeftModel
from transformers import LlamaConfig, LlamaForCausalLM

from bioinstruct.attention import ATTENTION_NAME, register_attention
from bioinstruct.batching import EncodedRecord, pack_records
from bioinstruct.config import LoraConfig
from bioinstruct.config.schema import Recompute, ShapeConfig
from bioinstruct.footprint import num_adapter_parameters, num_parameters, operations_per_token
from bioinstruct.model import add_lora
from bioinstruct.pipeline.planning import cell_footprint, model_shape
from tests.engine import ALL_LINEAR, batch_loss
from tests.test_config import compose_train

SMALL = ShapeConfig(64, 176, 2, 4, 2, 300, False)


def build(shape: ShapeConfig, dtype: torch.dtype, targets: list[str]) -> PeftModel:
    register_attention()
    base = LlamaForCausalLM(LlamaConfig(**vars(shape))).to(dtype)
    base.set_attn_implementation(ATTENTION_NAME)
    base.requires_grad_(False)
    return add_lora(base, LoraConfig(rank=8, alpha=8, dropout=0.0, target_modules=targets), seed=0)


def saved_bytes(model: PeftModel, *, num_records: int) -> int:
    """Bytes that autograd keeps between forward and backward, each storage once, parameters left out."""
    records = [EncodedRecord(f"{n:016x}", "qa", tuple(range(3, 67)), 63) for n in range(num_records)]
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    sizes: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        total, _ = batch_loss(model, pack_records(records, categories=["qa"]))
        del total
    return sum(size for pointer, size in sizes.items() if pointer not in own)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("targets", [ALL_LINEAR, ALL_LINEAR[:4]])
def test_predicted_activations_are_what_autograd_saves(dtype: torch.dtype, targets: list[str]) -> None:
    from bioinstruct.footprint import layer_bytes_per_token

    deeper = ShapeConfig(**{**vars(SMALL), "num_hidden_layers": 4})
    measured = [saved_bytes(build(shape, dtype, targets), num_records=8) for shape in (SMALL, deeper)]
    per_token = (measured[1] - measured[0]) / 2 / (8 * 64)
    size = torch.finfo(dtype).bits // 8
    predicted = layer_bytes_per_token(SMALL, value_bytes=size, rank=8, target_modules=targets, dropout=0.0)
    assert predicted == pytest.approx(per_token, rel=0.06)


def test_parameters_are_counted_as_the_model_has_them() -> None:
    model = build(SMALL, torch.float32, ALL_LINEAR)
    adapters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert num_adapter_parameters(SMALL, rank=8, target_modules=ALL_LINEAR) == adapters
    assert num_parameters(SMALL) == sum(p.numel() for p in model.parameters()) - adapters


def test_known_models_have_their_published_sizes() -> None:
    sizes = {"llama2_7b": 6.738, "llama2_13b": 13.016, "llama3_8b": 8.030}
    for name, billions in sizes.items():
        shape = model_shape(compose_train(f"model={name}"))
        assert num_parameters(shape) / 1e9 == pytest.approx(billions, abs=0.001)


def test_llama2_7b_costs_the_published_operations_per_token() -> None:
    shape = model_shape(compose_train("model=llama2_7b"))
    cost = operations_per_token(shape, response_share=1.0, recompute=Recompute.none)
    assert cost / 1e9 == pytest.approx(26.4, abs=0.1)


def test_llama2_13b_in_nf4_plans_into_24_gb() -> None:
    config = compose_train(
        "model=llama2_13b", "model.quantization=nf4", "lora=all_linear", "trainer.tokens_per_batch=1024"
    )
    shape = model_shape(config)
    assert cell_footprint(config, shape, recompute=Recompute.none).total < 24e9
    config.trainer.tokens_per_batch = 8192
    assert cell_footprint(config, shape, recompute=Recompute.none).total > 24e9
    assert cell_footprint(config, shape, recompute=Recompute.full).total < 24e9
