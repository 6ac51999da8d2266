"""Activation checkpointing of decoder layers: memory for time, the same gradient."""

from __future__ import annotations

from functools import partial

from peft import PeftModel
from torch.utils.checkpoint import checkpoint

from bioinstruct.config.schema import Recompute


def checkpoint_layers(model: PeftModel, recompute: Recompute) -> None:
    """Recomputes the activations of every layer (full) or every second one (selective) in the backward pass."""
    if recompute is Recompute.none:
        return
    stride = 1 if recompute is Recompute.full else 2
    for layer in model.get_base_model().model.layers[::stride]:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
