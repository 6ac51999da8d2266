"""Cross-entropy of the supervised positions through a frozen output head.

The head's weight needs no gradient, so the gradient to the hidden states is computed together with the loss,
chunk by chunk, and no logits are kept.

Legend: R supervised positions, H hidden width, V vocabulary.
"""

from __future__ import annotations

from typing import cast

import torch
from torch.autograd.function import FunctionCtx, once_differentiable

CHUNK_ROWS = 1024
"""Rows whose logits exist at the same time."""


def head_cross_entropy(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(sum of the losses, the losses themselves without gradient), in nats; float32, or float64 for float64.

    hidden (R, H), weight (V, H) of the frozen head, targets (R,).
    """
    return cast(tuple[torch.Tensor, torch.Tensor], _HeadCrossEntropy.apply(hidden, weight, targets))


def _loss_and_slope(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(losses (chunk,), their gradient to `hidden` (chunk, H)) of one chunk."""
    wide = torch.float64 if hidden.dtype is torch.float64 else torch.float32
    logits = (hidden @ weight.T).to(wide)  # (chunk, V)
    log_sum = torch.logsumexp(logits, dim=-1)  # (chunk,)
    losses = log_sum - logits.gather(1, targets[:, None]).squeeze(1)
    slope = logits.sub_(log_sum[:, None]).exp_()  # (chunk, V)
    slope.scatter_add_(1, targets[:, None], torch.full_like(targets, -1, dtype=wide)[:, None])
    return losses, slope.to(weight.dtype) @ weight


class _HeadCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        losses, gradients = [], []
        for start in range(0, len(targets), CHUNK_ROWS):
            part = slice(start, start + CHUNK_ROWS)
            loss, gradient = _loss_and_slope(hidden[part], weight, targets[part])
            losses.append(loss)
            gradients.append(gradient)
        ctx.save_for_backward(torch.cat(gradients))  # (R, H)
        all_losses = torch.cat(losses)  # (R,)
        ctx.mark_non_differentiable(all_losses)
        return all_losses.sum(), all_losses

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, *upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradient * upstream[0].to(gradient.dtype), None, None
