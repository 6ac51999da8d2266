"""A shorter forward pass for plain LoRA layers; PEFT keeps the injection, the parameters and the file format.

PEFT's own forward casts every input to float32 and runs six operations a layer; here the low-rank part is added
inside one matrix product, in the base's precision. Layers with a variant (DoRA), several adapters or a merged one
keep PEFT's forward.

Legend: N rows, I inputs, O outputs, r rank.
"""

from __future__ import annotations

from functools import partial

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn.functional import linear

ADAPTER = "default"


def fuse_lora(model: PeftModel) -> int:
    """Gives every plain LoRA layer of the model the shorter forward; returns how many."""
    layers = [module for module in model.modules() if isinstance(module, LoraLayer) and _is_plain(module)]
    for layer in layers:
        layer.forward = partial(_forward, layer)
    return len(layers)


def _is_plain(layer: LoraLayer) -> bool:
    return (
        list(layer.lora_A) == [ADAPTER]
        and not layer.lora_variant
        and not layer.merged
        and not layer.lora_bias[ADAPTER]
        and layer.lora_A[ADAPTER].weight.ndim == 2
        and layer.scaling[ADAPTER] != 0
    )


def _forward(layer: LoraLayer, x: torch.Tensor) -> torch.Tensor:
    """(…, O) output of the adapted layer for x (…, I)."""
    base = layer.base_layer
    if layer.disable_adapters:
        return base(x)
    dropout = layer.lora_dropout[ADAPTER]
    scale = layer.scaling[ADAPTER]
    a = layer.lora_A[ADAPTER].weight.to(x.dtype)  # (r, I)
    b = layer.lora_B[ADAPTER].weight.to(x.dtype)  # (O, r)
    drops = isinstance(dropout, torch.nn.Dropout) and dropout.training and dropout.p > 0
    if not drops and type(base) is torch.nn.Linear and getattr(base, "bias", None) is None:
        rows = x.reshape(-1, x.shape[-1])  # (N, I)
        return _LoraLinear.apply(rows, base.weight, a, b, scale).view(*x.shape[:-1], -1)
    low = linear(dropout(x) if drops else x, a).flatten(0, -2)  # (N, r)
    out = base(x)  # (…, O)
    return torch.addmm(out.flatten(0, -2), low, b.T, alpha=scale).view(out.shape)


class _LoraLinear(torch.autograd.Function):
    """x Wᵀ + scale (x Aᵀ) Bᵀ with a frozen W: no gradient of W is ever formed, and only x and x Aᵀ are kept."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: torch.Tensor, weight: torch.Tensor, a: torch.Tensor, b: torch.Tensor, scale: float
    ) -> torch.Tensor:
        low = x @ a.T  # (N, r)
        ctx.save_for_backward(x, weight, a, b, low)
        ctx.scale = scale  # type: ignore[attr-defined]
        return (x @ weight.T).addmm_(low, b.T, alpha=scale)  # (N, O)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, *slopes: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, a, b, low = ctx.saved_tensors  # type: ignore[attr-defined]
        scale: float = ctx.scale  # type: ignore[attr-defined]
        slope = slopes[0]  # (N, O)
        slope_low = (slope @ b).mul_(scale)  # (N, r)
        slope_x = (slope @ weight).addmm_(slope_low, a) if ctx.needs_input_grad[0] else None  # type: ignore[attr-defined]
        return slope_x, None, slope_low.T @ x, (slope.T @ low).mul_(scale), None
