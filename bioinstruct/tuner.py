"""The LightningModule around a LoRA-adapted LLaMA: one batch of the loader is one optimizer step.

Lightning's part is the loop, the device and the loggers. The update itself is spelled out here (manual
optimisation), because it must not depend on how a step is cut: the loss is the sum over the response tokens of
the whole step, over all ranks, divided by their number.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from peft import PeftModel
from pytorch_lightning import LightningModule

from bioinstruct.batching import MicroBatch, StepBatch, to_device
from bioinstruct.checkpoints import Checkpoint, pack_optimizer, restore_optimizer
from bioinstruct.config import LoraConfig, OptimConfig
from bioinstruct.config.schema import Optimizer, Schedule
from bioinstruct.errors import UserError
from bioinstruct.loss import head_cross_entropy
from bioinstruct.model import adapter_parameters
from bioinstruct.randomness import derive_seed

logger = logging.getLogger(__name__)

Row = dict[str, float]


@dataclass
class Progress:
    """What a run remembers between steps; saved with every checkpoint."""

    next_step: int = 0
    num_tokens: int = 0
    seconds: float = 0.0
    best_loss: float = math.inf
    best_step: int = -1
    num_worse: int = 0
    """Validations in a row without a lower loss."""


@dataclass(frozen=True)
class TrainingHooks:
    """What the pipeline does with what happens here."""

    on_row: Callable[[Row], None]
    """Gets the metrics of every optimizer step."""
    on_checkpoint: Callable[[Checkpoint], None]
    on_best: Callable[[], None]
    """The validation loss is the lowest so far."""
    on_start: Callable[[], None]
    """Called once Lightning has set up everything of its own."""
    should_stop: Callable[[], bool]
    """Whether a signal asked this rank to leave."""


@dataclass(frozen=True)
class Schedules:
    """When things happen, in optimizer steps of the whole run."""

    num_steps: int
    validate_after: frozenset[int] = field(default_factory=frozenset)
    checkpoint_every: int = 50


class LoraTuner(LightningModule):
    """Tunes the adapters of `model`; see the module's text for what one step is."""

    def __init__(
        self,
        model: PeftModel,
        *,
        optim: OptimConfig,
        lora: LoraConfig,
        schedules: Schedules,
        seed: int,
        categories: Sequence[str],
        validation: Sequence[MicroBatch],
        hooks: TrainingHooks,
        resume_from: Checkpoint | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.optim = optim
        self.lora = lora
        self.schedules = schedules
        self.seed = seed
        self.categories = tuple(categories)
        self.validation = validation
        self.hooks = hooks
        self.resume_from = resume_from
        self.progress = Progress()
        self.was_interrupted = False
        self._step_started = 0.0

    def loss(self, batch: MicroBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """(summed loss with gradient, (R,) losses without) of the supervised tokens of a micro-batch, in nats."""
        llama = self.model.get_base_model()
        hidden = llama.model(  # (1, T, H) packed, (D, L, H) padded
            input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False, packing=batch.packing
        ).last_hidden_state
        chosen = hidden.flatten(0, 1).index_select(0, batch.rows)  # (R, H)
        return head_cross_entropy(chosen, llama.lm_head.weight, batch.targets)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        parameters = adapter_parameters(self.model)
        groups = [
            {"params": [p for n, p in parameters.items() if "lora_B" not in n], "ratio": 1.0},
            {"params": [p for n, p in parameters.items() if "lora_B" in n], "ratio": self.lora.lr_ratio},
        ]
        optim = self.optim
        betas = (optim.beta1, optim.beta2)
        if optim.name is Optimizer.adamw_8bit:
            from bitsandbytes.optim import AdamW8bit

            return AdamW8bit(groups, lr=optim.lr, betas=betas, eps=optim.epsilon, weight_decay=optim.weight_decay)
        return torch.optim.AdamW(groups, lr=optim.lr, betas=betas, eps=optim.epsilon, weight_decay=optim.weight_decay)

    def on_fit_start(self) -> None:
        self.model.train()
        if self.resume_from is not None:
            _restore_adapter(self.model, self.resume_from.adapter)
            restore_optimizer(self._optimizer(), self.resume_from.optimizer)
            self.progress = Progress(**self.resume_from.progress)  # type: ignore[arg-type]

    def on_train_start(self) -> None:
        self.hooks.on_start()
        self._step_started = time.monotonic()

    def transfer_batch_to_device(self, batch: StepBatch, device: torch.device, dataloader_idx: int) -> StepBatch:
        return batch  # micro-batches are moved one by one

    def training_step(self, batch: StepBatch, batch_idx: int) -> None:
        optimizer = self._optimizer()
        rate = learning_rate(batch.step, self.schedules.num_steps, optim=self.optim)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["ratio"]
        torch.manual_seed(derive_seed(self.seed, "dropout", batch.step, _rank()))
        sums = self._accumulate(batch)
        loss = float(sums[:, 0].sum()) / batch.num_response_tokens
        norm = self._finish_gradients()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise UserError(
                f"loss {loss}, gradient norm {norm} at step {batch.step} "
                f"(records {', '.join(batch.record_ids[:8])}, …): the last checkpoint is kept. "
                "Lower optim.lr, or look at these records"
            )
        self.optimizers().step()  # type: ignore[union-attr]
        optimizer.zero_grad(set_to_none=True)
        self._after_step(batch, {"loss": loss, "lr": rate, "grad_norm": norm, **self._per_category(sums, "loss_")})

    def _accumulate(self, batch: StepBatch) -> torch.Tensor:
        """(categories, 2): summed loss and number of response tokens over all ranks; gradients are left behind."""
        sums = torch.zeros(len(self.categories), 2, dtype=torch.float64, device=self.device)
        for micro_batch in batch.micro_batches:
            moved = to_device(micro_batch, self.device)
            total, losses = self.loss(moved)
            self.manual_backward(total / batch.num_response_tokens)
            _add_by_category(sums, losses, moved.category_index)
        if _world_size() > 1:
            dist.all_reduce(sums)
        return sums

    def _finish_gradients(self) -> float:
        """Sums the gradients over the ranks as one flat tensor, clips them, returns their norm before clipping."""
        parameters = list(adapter_parameters(self.model).values())
        if _world_size() > 1:
            flat = torch.cat([_gradient(p).flatten() for p in parameters])
            dist.all_reduce(flat)
            for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
                parameter.grad = part.view_as(parameter)
        limit = self.optim.max_grad_norm or math.inf
        return float(torch.nn.utils.clip_grad_norm_(parameters, limit))

    def _after_step(self, batch: StepBatch, row: Row) -> None:
        now = time.monotonic()
        seconds, self._step_started = now - self._step_started, now
        progress = self.progress
        progress.next_step = batch.step + 1
        progress.num_tokens += batch.num_tokens
        progress.seconds += seconds
        row |= {
            "tokens_per_second": batch.num_tokens / seconds,
            "response_tokens_per_second": batch.num_response_tokens / seconds,
            "step_seconds": seconds,
            "num_tokens": progress.num_tokens,
        }
        stop = False
        if batch.step in self.schedules.validate_after:
            row |= self.validate()
            stop = self._judge_validation(row["validation_loss"], batch.step)
            self._step_started = time.monotonic()
        self.hooks.on_row({"step": batch.step, "epoch": batch.epoch, **row})
        self.was_interrupted = self._any_rank(self.hooks.should_stop())
        last = progress.next_step == self.schedules.num_steps or stop
        if last or self.was_interrupted or progress.next_step % self.schedules.checkpoint_every == 0:
            self.hooks.on_checkpoint(self.checkpoint())
        if stop or self.was_interrupted:
            self.trainer.should_stop = True

    def _any_rank(self, value: bool) -> bool:
        if _world_size() == 1:
            return value
        flag = torch.tensor(float(value), device=self.device)
        dist.all_reduce(flag)
        return bool(flag.item() > 0)

    def validate(self) -> Row:
        """Mean loss over the validation records' response tokens, in all and per category."""
        sums = torch.zeros(len(self.categories), 2, dtype=torch.float64, device=self.device)
        with torch.no_grad(), _without_dropout(self.model):
            for micro_batch in self.validation[_rank() :: _world_size()]:
                moved = to_device(micro_batch, self.device)
                _add_by_category(sums, self.loss(moved)[1], moved.category_index)
        if _world_size() > 1:
            dist.all_reduce(sums)
        mean = float(sums[:, 0].sum() / sums[:, 1].sum())
        return {"validation_loss": mean, **self._per_category(sums, "validation_loss_")}

    def _judge_validation(self, loss: float, step: int) -> bool:
        """Keeps the best adapter; whether early stopping says stop."""
        if loss < self.progress.best_loss:
            self.progress.best_loss, self.progress.best_step, self.progress.num_worse = loss, step, 0
            self.hooks.on_best()
            return False
        self.progress.num_worse += 1
        return self.optim.patience is not None and self.progress.num_worse >= self.optim.patience

    def _per_category(self, sums: torch.Tensor, prefix: str) -> Row:
        return {
            f"{prefix}{name}": float(total / count)
            for name, (total, count) in zip(self.categories, sums.tolist(), strict=True)
            if count
        }

    def checkpoint(self) -> Checkpoint:
        """The state after the last finished step."""
        return Checkpoint(
            next_step=self.progress.next_step,
            adapter={n: p.detach().cpu().contiguous() for n, p in adapter_parameters(self.model).items()},
            optimizer=pack_optimizer(self._optimizer()),
            progress=dict(vars(self.progress)),
        )

    def _optimizer(self) -> torch.optim.Optimizer:
        return self.trainer.optimizers[0]


def learning_rate(step: int, num_steps: int, *, optim: OptimConfig) -> float:
    """Learning rate of a step: linear warm-up from above 0, then constant, or linear or cosine decay towards 0."""
    num_warmup = math.ceil(optim.warmup_fraction * num_steps)
    if step < num_warmup:
        return optim.lr * (step + 1) / (num_warmup + 1)
    done = (step - num_warmup) / max(num_steps - num_warmup, 1)
    match optim.schedule:
        case Schedule.constant:
            return optim.lr
        case Schedule.linear:
            return optim.lr * (1 - done)
        case Schedule.cosine:
            return optim.lr * 0.5 * (1 + math.cos(math.pi * done))


@contextmanager
def _without_dropout(model: PeftModel) -> Iterator[None]:
    """Turns dropout off and nothing else.

    In eval mode bitsandbytes 0.50 repacks 4-bit weights for inference on CPUs with AVX512-BF16, and they would
    stay so when training goes on.
    """
    layers = [module for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    for layer in layers:
        layer.eval()
    try:
        yield
    finally:
        for layer in layers:
            layer.train()


def _add_by_category(sums: torch.Tensor, losses: torch.Tensor, category_index: torch.Tensor) -> None:
    sums[:, 0].index_add_(0, category_index, losses.double())
    sums[:, 1].index_add_(0, category_index, torch.ones_like(losses, dtype=torch.float64))


def _gradient(parameter: torch.nn.Parameter) -> torch.Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _restore_adapter(model: PeftModel, saved: Mapping[str, torch.Tensor]) -> None:
    """Copies the saved adapter into the model; UserError unless names and shapes are the same."""
    parameters = adapter_parameters(model)
    if {n: p.shape for n, p in parameters.items()} != {n: t.shape for n, t in saved.items()}:
        raise UserError("the checkpoint's adapter does not fit this model and LoRA configuration; use overwrite=true")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(saved[name])


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def _world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1
