"""Predicted memory and work of a training run from the shapes of a LLaMA; nothing is loaded.

Legend: H hidden width, I MLP width, K width of keys (and of values), V vocabulary, r rank; bytes, floating-point
operations (one multiply-add is two).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bioinstruct.config.schema import Optimizer, Quantization, Recompute, ShapeConfig

ATTENTION_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP_MODULES = ("gate_proj", "up_proj", "down_proj")

WEIGHT_BYTES = {Quantization.nf4: 0.5 + 0.127 / 8, Quantization.int8: 1.0}
"""Bytes a quantised weight; nf4 with double quantisation adds 0.127 bit (Dettmers et al. 2023, QLoRA, section 3)."""

ADAPTER_BYTES = {Optimizer.adamw: 16, Optimizer.adamw_8bit: 10}
"""Bytes a trained parameter: float32 value and gradient, and two moments of 4 bytes or 1 byte."""

LOGIT_ROWS = 1024
"""Rows whose logits exist at once; see bioinstruct.loss."""


@dataclass(frozen=True)
class Footprint:
    """Bytes at the peak of a training step, by cause."""

    weights: float
    adapters: float
    activations: float
    logits: float

    @property
    def total(self) -> float:
        return self.weights + self.adapters + self.activations + self.logits


def linear_shapes(shape: ShapeConfig) -> dict[str, tuple[int, int]]:
    """(inputs, outputs) of the linear layers of one decoder layer."""
    hidden, middle, keys = shape.hidden_size, shape.intermediate_size, key_width(shape)
    return {
        "q_proj": (hidden, hidden),
        "k_proj": (hidden, keys),
        "v_proj": (hidden, keys),
        "o_proj": (hidden, hidden),
        "gate_proj": (hidden, middle),
        "up_proj": (hidden, middle),
        "down_proj": (middle, hidden),
    }


def key_width(shape: ShapeConfig) -> int:
    """K: the width of all keys of a token."""
    return shape.hidden_size * shape.num_key_value_heads // shape.num_attention_heads


def num_linear_parameters(shape: ShapeConfig) -> int:
    """Parameters of all decoder layers' linear layers."""
    return shape.num_hidden_layers * sum(inputs * outputs for inputs, outputs in linear_shapes(shape).values())


def num_parameters(shape: ShapeConfig) -> int:
    """All parameters: linear layers, embeddings (counted twice unless tied), norms."""
    tables = shape.vocab_size * shape.hidden_size * (1 if shape.tie_word_embeddings else 2)
    return num_linear_parameters(shape) + tables + (2 * shape.num_hidden_layers + 1) * shape.hidden_size


def num_adapter_parameters(shape: ShapeConfig, *, rank: int, target_modules: Sequence[str]) -> int:
    """Trained parameters of LoRA: r (inputs + outputs) for every adapted layer."""
    shapes = linear_shapes(shape)
    return shape.num_hidden_layers * sum(rank * sum(shapes[name]) for name in target_modules)


def layer_bytes_per_token(
    shape: ShapeConfig, *, value_bytes: int, rank: int, target_modules: Sequence[str], dropout: float
) -> float:
    """Bytes a decoder layer keeps for the backward pass, per token.

    Two float32 norm inputs (8 H); query, attention output and its contiguous copy, the norm's outputs, keys and
    values; the MLP's gate, its activation, up and their product; the low-rank products of adapted layers. Within
    3 % of what autograd saved on seven shapes (float32 and bfloat16, with and without grouped keys).
    """
    hidden, middle, keys = shape.hidden_size, shape.intermediate_size, key_width(shape)
    values = 4 * hidden + 2 * keys + 3 * middle
    if {"gate_proj", "up_proj"} & set(target_modules):
        values += hidden
    if "down_proj" in target_modules:
        values += middle
    values += rank * len(target_modules)
    kept = 8 * hidden + value_bytes * values
    if dropout > 0:
        shapes = linear_shapes(shape)
        kept += sum((value_bytes + 1) * shapes[name][0] for name in target_modules)
    return kept


def predict_footprint(
    shape: ShapeConfig,
    *,
    value_bytes: int,
    quantization: Quantization,
    rank: int,
    target_modules: Sequence[str],
    dropout: float,
    optimizer: Optimizer,
    tokens_per_batch: int,
    recompute: Recompute,
) -> Footprint:
    """Peak memory of a training step with one micro-batch of `tokens_per_batch` tokens."""
    linear = num_linear_parameters(shape)
    weights = float((num_parameters(shape) - linear) * value_bytes)
    weights += linear * WEIGHT_BYTES.get(quantization, value_bytes)
    adapters = num_adapter_parameters(shape, rank=rank, target_modules=target_modules)
    layer = layer_bytes_per_token(
        shape, value_bytes=value_bytes, rank=rank, target_modules=target_modules, dropout=dropout
    )
    stored = {Recompute.none: 0, Recompute.selective: (shape.num_hidden_layers + 1) // 2}.get(
        recompute, shape.num_hidden_layers
    )
    kept = shape.num_hidden_layers - stored + (1 if stored else 0)  # one recomputed layer exists at a time
    activations = tokens_per_batch * (kept * layer + stored * value_bytes * shape.hidden_size)
    if quantization is not Quantization.none:
        activations += value_bytes * shape.hidden_size * shape.intermediate_size  # one dequantised weight
    logits = 2 * 4.0 * min(LOGIT_ROWS, tokens_per_batch) * shape.vocab_size
    return Footprint(weights, adapters * ADAPTER_BYTES[optimizer], activations, logits)


def operations_per_token(shape: ShapeConfig, *, response_share: float, recompute: Recompute) -> float:
    """Floating-point operations a training token costs with a frozen base: 4 N, and 2 N more when recomputed.

    N are the linear layers' parameters, and the output head's for the share of tokens that are supervised.
    """
    again = {Recompute.none: 0.0, Recompute.selective: 0.5, Recompute.full: 1.0}[recompute]
    head = shape.vocab_size * shape.hidden_size * response_share
    return (4 + 2 * again) * num_linear_parameters(shape) + 4 * head
