"""The LightningDataModule of a cell: its loader yields whole optimizer steps, beginning at any of them."""

from __future__ import annotations

from collections.abc import Sequence

from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from bioinstruct.batching import EncodedRecord, MicroBatch, PlannedStep, StepBatch, build_step
from bioinstruct.config import TrainerConfig
from bioinstruct.corpus import Corpus


class StepDataset(Dataset[StepBatch]):
    """The optimizer steps of a run as this rank sees them; item i is the i-th step still to do."""

    def __init__(
        self,
        steps: Sequence[PlannedStep],
        corpus: Corpus,
        *,
        trainer: TrainerConfig,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.steps = steps
        self.corpus = corpus
        self.trainer = trainer
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> StepBatch:
        return build_step(
            self.steps[index],
            self.corpus.training,
            categories=self.corpus.categories,
            tokens_per_batch=self.trainer.tokens_per_batch,
            packing=self.trainer.packing,
            rank=self.rank,
            world_size=self.world_size,
        )


class InstructionDataModule(LightningDataModule):
    """Training steps from `first_step` on; validation micro-batches are handed to the tuner directly."""

    def __init__(
        self,
        corpus: Corpus,
        steps: Sequence[PlannedStep],
        *,
        trainer: TrainerConfig,
        first_step: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__()
        self.dataset = StepDataset(steps[first_step:], corpus, trainer=trainer, rank=rank, world_size=world_size)

    def train_dataloader(self) -> DataLoader[StepBatch]:
        # The plan orders and deals the records; Lightning must neither shuffle nor add a distributed sampler.
        return DataLoader(self.dataset, batch_size=None, shuffle=False, num_workers=0)

    def validation_batches(self) -> list[MicroBatch]:
        """The validation records in micro-batches of the same token budget."""
        dataset = self.dataset
        records: Sequence[EncodedRecord] = dataset.corpus.validation
        whole = PlannedStep(0, 0, tuple(range(len(records))))
        if not records:
            return []
        built = build_step(
            whole,
            records,
            categories=dataset.corpus.categories,
            tokens_per_batch=dataset.trainer.tokens_per_batch,
            packing=dataset.trainer.packing,
        )
        return list(built.micro_batches)
