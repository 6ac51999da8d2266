"""Helpers of the engine's tests: records of known shape and a small LLaMA with adapters in double precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from peft import PeftModel

from bioinstruct.attention import ATTENTION_NAME, register_attention
from bioinstruct.batching import EncodedRecord, MicroBatch
from bioinstruct.config import LoraConfig, ModelConfig
from bioinstruct.config.schema import Dtype, LoraVariant
from bioinstruct.loss import head_cross_entropy
from bioinstruct.model import adapter_parameters, add_lora, load_base

CATEGORIES = ("qa", "ie", "gen")
ALL_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def make_records(num_records: int, *, seed: int = 0, vocabulary: int = 259) -> list[EncodedRecord]:
    """Records of 5 to 40 random tokens with prompts of 2 to length - 1."""
    draw = np.random.default_rng(seed)
    records = []
    for number in range(num_records):
        length = int(draw.integers(5, 41))
        ids = tuple(int(token) for token in draw.integers(3, vocabulary, length))
        prompt_length = int(draw.integers(2, length))
        records.append(EncodedRecord(f"{number:016x}", CATEGORIES[number % 3], ids, prompt_length))
    return records


def load_small(
    folder: Path, *, dtype: Dtype = Dtype.float64, dropout: float = 0.0, variant: LoraVariant = LoraVariant.lora
) -> PeftModel:
    """The small LLaMA with packed attention and LoRA on all linear layers, B matrices not zero."""
    register_attention()
    base = load_base(ModelConfig(name="small", path=str(folder), dtype=dtype), device=torch.device("cpu"))
    base.set_attn_implementation(ATTENTION_NAME)
    lora = LoraConfig(rank=4, alpha=8, dropout=dropout, target_modules=ALL_LINEAR, variant=variant)
    model = add_lora(base, lora, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in adapter_parameters(model).items():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.05)
    return model


def batch_loss(model: PeftModel, batch: MicroBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """(summed loss, losses) of a micro-batch, as the tuner computes it."""
    llama = model.get_base_model()
    hidden = llama.model(
        input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False, packing=batch.packing
    ).last_hidden_state
    chosen = hidden.flatten(0, 1).index_select(0, batch.rows)
    return head_cross_entropy(chosen, llama.lm_head.weight, batch.targets)


def gradients(model: PeftModel, batches: list[MicroBatch]) -> torch.Tensor:
    """The flat adapter gradient of the loss over all batches, divided by their response tokens."""
    model.zero_grad()
    num = sum(len(batch.targets) for batch in batches)
    for batch in batches:
        (batch_loss(model, batch)[0] / num).backward()
    parts = [p.grad.flatten() for p in adapter_parameters(model).values() if p.grad is not None]
    return torch.cat(parts)
