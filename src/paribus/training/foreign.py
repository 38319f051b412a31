"""Follow the training of a LightningModule that is none of Paribus' own."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import lightning
import torch
from lightning import Trainer
from torch import Tensor, nn

from paribus.instruments.subject import LossHook, select_moments
from paribus.models.layers import WeightLayer, evaluation_mode
from paribus.training.sums import EpochSums


class ForeignLearner(lightning.Callback):
    """The view that the record has of any LightningModule in training (see Trained), kept up to date as a callback.

    The trainer fits the module itself, unchanged. train/loss is the mean of what training_step returns; what the module
    logs is read by the Recorder. The learning rate is that of the first optimizer. It comes before the Recorder in the
    trainer's list of callbacks.

    Args:
        columns: columns of metrics.csv that are known before training.
    """

    lead = 0
    prefix = ""
    reserved = ()
    folds = probe = None
    calls_loss_hook = False

    def __init__(self, module: lightning.LightningModule, columns: Sequence[str]):
        self.module = module
        self.network: nn.Module = module
        self.columns = columns
        self.layers: Sequence[WeightLayer] = []
        self.initial: Mapping[str, Tensor] = {}
        self.loss_hook: LossHook | None = None
        self.stepping: Collection[int] | None = None
        self.samples = 0
        self.lr = 0.0
        self.momentum: float | None = None
        self.training_sums = EpochSums()
        self._size = 0  # samples of the batch

    @property
    def device(self) -> torch.device:
        return self.module.device

    @property
    def loss_scaled(self) -> bool:
        return getattr(self.module.trainer.precision_plugin, "scaler", None) is not None

    @property
    def step_losses(self) -> Tensor | None:
        return self.training_sums.ended if self.module.trainer.world_size == 1 else None

    def has_finite_weights(self) -> bool:
        return all(bool(torch.isfinite(parameter).all()) for parameter in self.module.parameters())

    def infer(self, inputs: Tensor) -> Any:
        precision = self.module.trainer.precision_plugin
        with evaluation_mode(self.module), precision.forward_context():
            return self.module(precision.convert_input(inputs))

    def predict(self, inputs: Tensor) -> Any:
        return self.infer(inputs)  # what its outputs mean is its own affair

    def compute_loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        raise NotImplementedError("The loss of a LightningModule is known to its training_step alone.")

    def get_moments(self, parameter: Tensor) -> Mapping[str, Tensor]:
        return select_moments(self.module.trainer.optimizers, parameter)

    def read_epoch(self) -> tuple[dict[str, float], int | None]:
        if not self.training_sums.samples:  # no step has returned a loss
            return {}, None
        means, bad_batch = self.training_sums.read()
        return {"train/loss": means["loss"]}, bad_batch

    def on_train_start(self, trainer: Trainer, module: lightning.LightningModule) -> None:
        if len(trainer.optimizers) > 1:
            self.stepping = {id(p) for group in trainer.optimizers[0].param_groups for p in group["params"]}

    def on_train_epoch_start(self, trainer: Trainer, module: lightning.LightningModule) -> None:
        self.samples = 0

    def on_train_batch_start(
        self, trainer: Trainer, module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._size = count_samples(batch)
        self.samples += self._size
        if trainer.optimizers:
            group = trainer.optimizers[0].param_groups[0]
            self.lr, self.momentum = group["lr"], group["betas"][0] if "betas" in group else group.get("momentum")

    def on_train_batch_end(
        self, trainer: Trainer, module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, Tensor) and loss.numel() == 1:
            if module.automatic_optimization:
                loss = loss * trainer.accumulate_grad_batches  # Lightning has divided it
            self.training_sums.add(self._size, loss.detach().reshape(()), {})


def count_samples(batch: Any) -> int:
    """Count the samples of a batch: the length of the first tensor in it with any axes; 1 where there is none."""
    if isinstance(batch, Tensor):
        return len(batch) if batch.ndim else 1
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, list | tuple) else ()
    for part in parts:
        if isinstance(part, Tensor | Mapping | list | tuple):
            return count_samples(part)
    return 1
