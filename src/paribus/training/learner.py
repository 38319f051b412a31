"""Train a network: the loss, the other metrics, and the steps that Lightning calls."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import Metric
from torchmetrics.utilities.distributed import gather_all_tensors

from paribus.data.batches import select_share
from paribus.errors import UserError, unknown_name
from paribus.models.layers import WeightLayer
from paribus.private_names import HOOK_NAME, skip_graph_check
from paribus.randomness import derive_seed
from paribus.record import N_PROBE
from paribus.training.flips import compute_outputs
from paribus.training.losses import Loss
from paribus.training.metrics import WholeMetrics
from paribus.training.observed import Observed
from paribus.training.schedule import Schedule
from paribus.training.sums import EpochSums, average_by_fold
from paribus.training.twins import read_predictions


class Learner(Observed, ABC):
    """A LightningModule that trains `network` on batches of (inputs, targets).

    Args:
        network: any module; the two subclasses say which outputs they need.
        loss: the loss, for the task of the subclass.
        make_optimizer: makes the optimizer from the network's parameters.
        make_scheduler: makes the scheduler from the optimizer and the number of optimizer steps of the whole run. None:
            constant learning rate.
        interval: when the scheduler steps, every "epoch" or every "step".
        seed: seed of dropout and what else the network draws while it trains, together with the epoch.
        metrics: further validation metrics, by name.
    """

    task: ClassVar[Literal["classification", "regression"]]
    columns: tuple[str, ...]  # of metrics.csv between lr and epoch_seconds; in a subclass, those of every run
    prefix: ClassVar[str] = "network."  # of the network's tensors in the state_dict
    calls_loss_hook: ClassVar[bool] = True
    stepping: ClassVar[None] = None  # all parameters belong to the one optimizer
    average_flips = False  # in validation, as InMemory says
    lead: ClassVar[int] = 0  # number of leading axes of runs in the layers' tensors; 1 in a stack

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        make_optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        make_scheduler: Callable[[Optimizer, int], LRScheduler] | None = None,
        interval: str = "epoch",
        seed: int = 0,
        metrics: Mapping[str, Metric] | None = None,
    ):
        super().__init__()
        self.network = network
        self.loss = loss
        self.whole_metrics = WholeMetrics(loss, metrics or {})
        self.columns = (*self.columns, *(f"val/{name}" for name in metrics or {}))
        self.make_optimizer = make_optimizer
        self.make_scheduler = make_scheduler
        self.interval = interval
        self.monitor: str | None = None  # the metric that the scheduler, a Schedule, follows at the end of an epoch
        self.seed = seed
        self.training_sums, self.validation_sums = EpochSums(), EpochSums()
        self.validation: dict[str, float] = {}  # means of this epoch's validation, by column of metrics.csv
        self.validated_step = 0  # optimizer steps before the last validation
        self.folds: dict[str, np.ndarray] | None = None  # means over each fold, by column of folds.parquet
        self.probe: np.ndarray | None = None  # predictions for the first validation samples
        self._batch = -1  # number in the epoch of the last batch that training_sums contain
        self.validated: list[tuple[Tensor, Tensor, slice]] = []  # outputs, targets and sample numbers of each batch
        self.lr = 0.0  # learning rate of the last optimizer step
        self.momentum: float | None = None  # or Adam's beta1; None for optimizers without momentum
        self.layers: Sequence[WeightLayer] = []  # layers of the network, for the instruments
        self.initial: Mapping[str, Tensor] = {}  # each layer's weight before training, by its path, on the CPU
        self.loss_hook: Callable[[Tensor, Tensor, Tensor], None] | None = None  # (inputs, output, loss) of a step

    def __setattr__(self, name: str, value: Any) -> None:
        if name == HOOK_NAME:  # skips the slow search for parameters and modules in nn.Module
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    @property
    def reserved(self) -> Sequence[str]:
        """The columns that nobody else sets with self.log."""
        return self.columns

    @property
    def samples(self) -> int:
        """Samples of this epoch so far, of all ranks."""
        return self.training_sums.samples

    @abstractmethod
    def score_samples(self, output: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return the metrics beside the loss, by name, for each sample, (n,)."""

    def forward(self, inputs: Tensor) -> Tensor:
        return self.network(inputs)

    def on_fit_start(self) -> None:
        self.loss.to(self.device)

    def on_train_epoch_start(self) -> None:
        self._batch, self.validation, self.folds, self.probe = -1, {}, None, None
        # Each rank draws the dropout of its own samples; rank 0 draws the same as a single process.
        stream = f"training, rank {self.global_rank}" if self.global_rank else "training"
        torch.manual_seed(derive_seed(self.seed, stream, self.current_epoch))

    def training_step(self, batch: tuple[Any, ...], batch_idx: int) -> Tensor:
        inputs, targets, *shared = batch
        output = self.network(inputs)
        loss = self.loss(output, targets)
        detached, detached_loss = output.detach(), loss.detach()
        if self.loss_hook is not None:
            self.loss_hook(inputs, detached, detached_loss)
        own, whole = shared or (len(targets), None)
        if whole is not None:
            factor = self._compute_factor(targets[:own], whole)
            loss = loss * factor
            if self.loss.weights is not None:
                detached_loss = detached_loss * factor * (whole / (max(own, 1) * self.trainer.world_size))
        if batch_idx != self._batch:  # LBFGS and SAM evaluate a batch again, with other weights
            self._batch = batch_idx
            self.training_sums.add(own, detached_loss, self._sum_scores(detached, targets), whole)
        group = self.trainer.optimizers[0].param_groups[0]
        self.lr, self.momentum = group["lr"], group["betas"][0] if "betas" in group else group.get("momentum")
        return loss

    def _compute_factor(self, targets: Tensor, whole: int) -> Tensor | float:
        """Compute the factor with which the average of the ranks' losses is the loss of the whole batch.

        `targets` are those of this rank's samples. Gradients are averaged over the ranks.
        """
        if self.loss.weights is None:
            return len(targets) * self.trainer.world_size / whole
        own = self.loss.weights[targets].sum()
        total: Tensor = self.trainer.strategy.reduce(own.clone(), reduce_op="sum")
        return own * self.trainer.world_size / total

    def validation_step(self, batch: tuple[Any, ...], batch_idx: int) -> None:
        inputs, targets, *shared = batch
        output = compute_outputs(self.network, inputs, self.average_flips)
        own, whole = shared or (len(targets), None)
        first = self.validation_sums.samples
        if whole is not None:
            first += select_share(whole, self.global_rank, self.trainer.world_size).start
        self.validated.append((output[:own], targets[:own], slice(first, first + own)))
        self.validation_sums.add(own, self.loss(output, targets), self._sum_scores(output, targets), whole)

    def _sum_scores(self, output: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {name: values.sum() for name, values in self.score_samples(output, targets).items()}

    def read_epoch(self) -> tuple[dict[str, float], int | None]:
        """Return the epoch's means by column of metrics.csv, and its first batch with a non-finite loss."""
        if self.validated_step != self.trainer.global_step:  # val_check_interval: other weights than this epoch's
            self.validation, self.folds, self.probe = {}, None, None
        means, bad_batch = self.read_means(self.training_sums)
        return {f"train/{name}": value for name, value in means.items()} | self.validation, bad_batch

    def read_means(self, sums: EpochSums) -> tuple[dict[str, float], int | None]:
        """Read the means over the samples of all ranks, as EpochSums.read does. Every rank must call it."""
        return sums.read(self.reduce_over_ranks)

    @property
    def reduce_over_ranks(self) -> Callable[[Tensor, str], Tensor] | None:
        """The function that reduces a tensor over all ranks by "sum" or "min"; None for a single one."""
        return None if self.trainer.world_size == 1 else self._reduce

    def _reduce(self, tensor: Tensor, how: str) -> Tensor:
        return self.trainer.strategy.reduce(tensor.to(self.device), reduce_op=how).cpu()

    def on_validation_epoch_end(self) -> None:
        self.validated_step = self.trainer.global_step
        self.validation = self.read_validation(getattr(self.trainer.datamodule, "validation_folds", None))  # type: ignore[attr-defined]
        # For callbacks that monitor a metric. self.log_dict would take 1.3 ms for the same.
        self.trainer.callback_metrics.update({name: torch.tensor(value) for name, value in self.validation.items()})

    def read_validation(self, folds: Tensor | None) -> dict[str, float]:
        """Compute the means of the validated samples, by column of metrics.csv. Every rank must call it.

        With `folds`, the fold of each of the n validation samples (n,), it also sets `folds` and `probe`.
        """
        means, _ = self.read_means(self.validation_sums)
        outputs, targets, samples = zip(*self.validated, strict=True)
        self.validated = []
        if folds is not None or self.whole_metrics.names:
            output, target = torch.cat(outputs), torch.cat(targets)
            output = output.to(torch.promote_types(output.dtype, torch.float32))  # as autocast does for a loss
            places = torch.cat([torch.arange(chosen.start, chosen.stop) for chosen in samples])
        if folds is not None:
            scores = self.score_samples(output, target)
            if self.loss.decomposes:
                scores = {"loss": self.loss.of_samples(output, target), **scores}
            self.folds = average_by_fold(scores, folds[places], self.reduce_over_ranks)
            own = places < N_PROBE
            self.probe = read_predictions(self.loss, self._gather(output[own], target[own], places[own])[0])
        if self.whole_metrics.names:
            output, target = self._gather(output, target, places)
            means |= self.whole_metrics.compute(output, target)
            if folds is not None and self.folds is not None:
                self.folds |= self.whole_metrics.compute_by_fold(output, target, folds)
        return {f"val/{name}": value for name, value in means.items()}

    def _gather(self, output: Tensor, target: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs and targets of all ranks, in the order of their `places`."""
        if self.trainer.world_size == 1:
            return output, target
        gathered = [torch.cat(gather_all_tensors(part)) for part in (output, target, places.to(output.device))]
        order = gathered[2].argsort()
        return gathered[0][order], gathered[1][order]

    def on_train_epoch_end(self) -> None:
        # Lightning would step a scheduler that follows a metric after the checkpoint, which then lacks the step.
        if self.monitor is None or (self.monitor.startswith("val/") and not self.validation):
            return
        if self.monitor not in self.trainer.callback_metrics:
            raise unknown_name(self.monitor, "scheduler.monitor", sorted(map(str, self.trainer.callback_metrics)))
        [scheduled] = self.trainer.lr_scheduler_configs
        assert isinstance(scheduled.scheduler, Schedule)
        scheduled.scheduler.observe(float(self.trainer.callback_metrics[self.monitor]))

    def build_optimizer(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """Build the run's optimizer over these parameters."""
        optimizer = self.make_optimizer(parameters)
        if self.device.type == "cpu":
            # A fused step is the same update in one kernel instead of ten. On a GPU torch's default is fast already,
            # and a fused step would hide the unscaled gradients of mixed precision.
            for group in optimizer.param_groups:
                if group.get("fused", False) is None and not (group["foreach"] or group["differentiable"]):
                    group["fused"] = True
            skip_graph_check(optimizer)
        return optimizer

    def configure_optimizers(self) -> Any:
        optimizer = self.build_optimizer(self.parameters())
        if self.trainer.world_size > 1 and isinstance(optimizer, torch.optim.LBFGS):
            raise UserError(
                "LBFGS evaluates the loss as often as its value requires, and each rank sees only its share of the "
                "loss. Choose another optimizer, or trainer=auto."
            )
        if self.make_scheduler is None:
            return optimizer
        scheduler = self.make_scheduler(optimizer, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": self.interval}}


class Classifier(Learner):
    """A learner for networks that return a score for each class, (n, classes); targets are class numbers, (n,).

    With a binary loss they return one score, that of class 1, (n,) or (n, 1).
    """

    task = "classification"
    columns = ("train/loss", "val/loss", "train/acc", "val/acc")

    def score_samples(self, output: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {"acc": (output.flatten() > 0 if self.loss.binary else output.argmax(1)) == targets}


class Regressor(Learner):
    """A learner for networks that return a number for each sample, (n,), of which the loss says what it means.

    val/mse and val/mae are recorded for every loss, so that runs with different losses can be compared.
    """

    task = "regression"
    columns = ("train/loss", "val/loss", "val/mse", "val/mae")

    def score_samples(self, output: Tensor, targets: Tensor) -> dict[str, Tensor]:
        if self.training:
            return {}
        error = self.loss.interpret(output) - targets
        return {"mse": error.square(), "mae": error.abs()}


def find_learner(loss: Loss) -> type[Learner]:
    """Find the class of learner for the task of the loss."""
    return Regressor if loss.task == "regression" else Classifier
