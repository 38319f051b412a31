"""Average the weights of epochs."""

from typing import Any

import lightning
from lightning import Trainer
from lightning.pytorch.callbacks import WeightAveraging


class StochasticAveraging(WeightAveraging):
    """The mean of the weights at the ends of the epochs after the share `start` of the run; before, the trained ones.

    WeightAveraging of Lightning validates and stores the mean. (Its StochasticWeightAveraging validates the trained
    weights, and puts the mean into the network after the last epoch.)
    """

    def __init__(self, start: float = 0.75, **others: Any):
        super().__init__(**others)
        self.start = start

    def has_begun(self, trainer: Trainer) -> bool:
        """Return whether at the start of the current epoch there was a mean of more than one epoch."""
        assert trainer.max_epochs is not None
        return trainer.current_epoch - 2 >= self.start * trainer.max_epochs

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx + 1 < trainer.num_training_batches:
            return
        assert self._average_model is not None and trainer.max_epochs is not None
        if trainer.current_epoch - 1 < self.start * trainer.max_epochs:  # the epoch before does not count
            self._average_model.n_averaged.zero_()
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
