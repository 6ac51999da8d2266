"""dry_run=true: what a cell would do, what it would need, and nothing started."""

from __future__ import annotations

import logging
import time
from dataclasses import fields

import torch

from bioinstruct.config import TrainConfig
from bioinstruct.config.schema import Recompute, ShapeConfig
from bioinstruct.distributed import choose_device
from bioinstruct.footprint import Footprint, num_parameters, operations_per_token, predict_footprint
from bioinstruct.model import load_shape
from bioinstruct.pipeline.identity import CellPlan, describe_cell

logger = logging.getLogger(__name__)

EFFICIENCY = 0.5
"""Share of the device's matrix-product speed that training is assumed to reach (ours, on the careful side)."""

VALUE_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}


def show_plan(config: TrainConfig) -> CellPlan:
    """Logs steps, tokens, predicted peak memory and time of a cell, and returns the plan."""
    plan = describe_cell(config)
    logger.info("%s: %s; would go to %s", plan.run_id, plan.state, plan.folder)
    if not plan.num_steps:
        logger.info("untuned: no training, only evaluation")
        return plan
    shape = model_shape(config)
    logger.info(
        "%d optimizer steps, %s tokens (%s of responses), model of %.2f billion parameters",
        plan.num_steps,
        f"{plan.num_tokens:,}",
        f"{plan.num_response_tokens:,}",
        num_parameters(shape) / 1e9,
    )
    for recompute in Recompute:
        footprint = cell_footprint(config, shape, recompute=recompute)
        chosen = " (chosen)" if recompute is config.trainer.recompute else ""
        logger.info("memory with trainer.recompute=%s%s: %s", recompute.value, chosen, _in_words(footprint))
    speed = matrix_speed(config)
    share = plan.num_response_tokens / plan.num_tokens
    operations = plan.num_tokens * operations_per_token(shape, response_share=share, recompute=config.trainer.recompute)
    num_devices = config.trainer.devices * config.trainer.num_nodes
    hours = operations / (speed * EFFICIENCY * num_devices) / 3600
    logger.info(
        "training time about %.2f h: %.3g operations at %.0f %% of %.3g operations/s, measured here, on %d device(s)",
        hours,
        operations,
        100 * EFFICIENCY,
        speed,
        num_devices,
    )
    return plan


def model_shape(config: TrainConfig) -> ShapeConfig:
    """Widths and layers of the model: from its option, else from its checkpoint's config.json."""
    if config.model.shape is not None:
        return config.model.shape
    loaded = load_shape(config.model)
    return ShapeConfig(**{f.name: getattr(loaded, f.name) for f in fields(ShapeConfig)})


def cell_footprint(config: TrainConfig, shape: ShapeConfig, *, recompute: Recompute) -> Footprint:
    """Predicted peak memory of a cell's training step."""
    return predict_footprint(
        shape,
        value_bytes=VALUE_BYTES[config.model.dtype.value],
        quantization=config.model.quantization,
        rank=config.lora.rank,
        target_modules=config.lora.target_modules,
        dropout=config.lora.dropout,
        optimizer=config.optim.name,
        tokens_per_batch=config.trainer.tokens_per_batch,
        recompute=recompute,
    )


def _in_words(footprint: Footprint) -> str:
    parts = {f.name: getattr(footprint, f.name) for f in fields(footprint)}
    listed = ", ".join(f"{name} {size / 2**30:.2f}" for name, size in parts.items())
    return f"{footprint.total / 2**30:.2f} GiB ({listed})"


def matrix_speed(config: TrainConfig, *, size: int = 2048, repeats: int = 5) -> float:
    """Floating-point operations a second of a square matrix product on the cell's device and in its precision."""
    device = choose_device(config.trainer)
    dtype = getattr(torch, config.model.dtype.value) if device.type == "cuda" else torch.float32
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(repeats):
        started = time.monotonic()
        left @ right
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.monotonic() - started)
    return 2 * size**3 / best
