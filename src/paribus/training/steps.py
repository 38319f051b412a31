"""Record every optimizer step: its loss, learning rate and gradient norm, and validation within the first epochs."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, cast

import lightning
import numpy as np
import torch
from lightning import Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from paribus.data.module import InMemory
from paribus.errors import UserError
from paribus.instruments.instrument import Instrument
from paribus.instruments.measurement import require_positive
from paribus.models.layers import evaluation_mode
from paribus.training.evaluated import show_evaluated
from paribus.training.learner import Learner
from paribus.training.sums import EpochSums
from paribus.training.trained import Trained

log = logging.getLogger(__name__)
OF_VALIDATION = (
    "validation_sums",
    "validated",
    "validation",
    "validated_step",
    "folds",
)  # what a Learner holds of one


class Steps(Instrument):
    """The optimizer steps of a run, for steps.parquet.

    train/loss is the mean loss of the step's batches, with the weights before the step; of an optimizer that evaluates
    a batch several times (LBFGS, SAM) that of the first evaluation. lr and momentum (or Adam's beta1) are those of the
    step. grad_norm is the 2-norm of the gradient of all trained parameters together, before clipping and unscaled under
    mixed precision. Of several optimizers it is the first one whose steps are observed.

    Validation takes place after about log-spaced steps, 1, 2, 5, 10, 20, 50, ..., of the first epochs. It is the same
    as at the end of an epoch, and changes nothing of the training.

    Args:
        validate_epochs: number of first epochs within which there is validation; 0: none.
        validate_per_decade: number of validations while the number of steps grows tenfold.

    Raises UserError for an argument out of range.
    """

    in_stack = "together"

    def __init__(self, validate_epochs: int = 3, validate_per_decade: int = 3):
        require_positive("steps.validate_per_decade", validate_per_decade)
        if type(validate_epochs) is not int or validate_epochs < 0:
            raise UserError(f"callbacks.steps.validate_epochs is {validate_epochs!r}; it must be a whole number, >= 0.")
        self.validate_epochs = validate_epochs
        self.validate_per_decade = validate_per_decade
        self.validated: dict[int, Mapping[str, Any]] = {}  # of this epoch, by step: values or (K,) arrays by column
        self._rates: list[Any] = []
        self._momenta: list[Any] = []
        self._norms: list[Tensor] = []
        self._batches: list[int] = []  # batches of the epoch up to each step

    def find_next(self, step: int, epoch: int) -> int | None:
        """Return the first step above `step` that is followed by validation; None in an `epoch` (from 0) without any.

        The steps are 10^(k / validate_per_decade), k = 0, 1, ..., rounded to one digit.
        """
        if epoch >= self.validate_epochs:
            return None
        k = 0
        while (due := float(f"{10 ** (k / self.validate_per_decade):.0e}")) <= step:
            k += 1
        return int(due)

    def before_step(self, step: int, samples: int) -> None:
        learner = cast(Trained, self.learner)
        self._rates.append(learner.lr)
        self._momenta.append(learner.momentum)
        self._norms.append(self.gradients.norms)

    def after_step(self, step: int) -> None:
        self._batches.append(cast(Trained, self.learner).training_sums.batches)

    def read_epoch(
        self, epoch: int, first: int, last: int, sizes: np.ndarray, losses: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return and remove the n steps of an ended epoch, by column of steps.parquet: (n,), or (n, K) in a stack.

        Args:
            epoch: its number, from 1.
            first, last: number of optimizer steps done before and after it. They differ by a multiple of n where there
                are several optimizers.
            sizes, losses: the number of samples (batches,) and mean loss (batches, ...) of each batch.
        """
        n = len(self._batches)
        steps = first + np.round(np.arange(1, n + 1) * (last - first) / max(n, 1)).astype(int)
        rows = {"step": steps, "epoch": np.full(n, epoch), "train/loss": _average(sizes, losses, self._batches)}
        rows["lr"], rows["momentum"] = (np.array(values[:n], dtype=float) for values in (self._rates, self._momenta))
        if n:
            rows["grad_norm"] = torch.stack(self._norms[:n]).cpu().double().norm(dim=-1).numpy()
        for name in {column: None for values in self.validated.values() for column in values}:
            missing = np.full_like(next(iter(self.validated.values()))[name], np.nan, dtype=float)
            rows[name] = np.array([self.validated.get(int(step), {}).get(name, missing) for step in steps])
        self.validated = {}
        self._rates, self._momenta, self._norms, self._batches = [], [], [], []
        return rows


def _average(sizes: np.ndarray, losses: np.ndarray, ends: Sequence[int]) -> np.ndarray:
    """Average the batches' losses by step, (steps, ...); NaN where there is none. `ends`: batches up to each step."""
    if len(sizes) == len(ends) == (ends[-1] if ends else 0):
        return losses  # a batch a step
    owners = np.searchsorted(ends, np.arange(len(sizes)), side="right")
    sums = np.zeros((len(ends) + 1, *losses.shape[1:]))  # the last row: batches after the last step
    weights = np.bincount(owners, sizes, len(ends) + 1).reshape(-1, *(1,) * (losses.ndim - 1))
    np.add.at(sums, owners, (losses.T * sizes).T)
    return np.divide(sums, weights, out=np.full_like(sums, np.nan), where=weights > 0)[:-1]


class StepsInEpoch(lightning.Callback):
    """Validate within epochs in every rank of a run, and read the steps of an ended epoch. It precedes the Recorder.

    Args:
        steps: the instrument.
        trained: what is known of the module.
        data: the data set; only of one in memory, with a network of Paribus, there is validation within epochs.

    Attributes:
        rows: the steps of the last epoch, by column of steps.parquet.
    """

    def __init__(self, steps: Steps, trained: Trained, data: object):
        self.steps = steps
        self.trained = trained
        self._validating = data if isinstance(trained, Learner) and isinstance(data, InMemory) else None
        self.rows: dict[str, np.ndarray] = {}
        self._first = 0  # optimizer steps before this epoch
        self._next: int | None = None  # the step that is followed by validation

    def on_train_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        if self._validating is None and trainer.enable_validation and self.steps.validate_epochs:
            log.info("steps.parquet has no validation: that needs data in memory and a network that Paribus trains.")

    def on_train_epoch_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        self._first = trainer.global_step
        validates = self._validating is not None and self._validating.count("val") and trainer.enable_validation
        self._next = self.steps.find_next(self._first, trainer.current_epoch) if validates else None

    def on_train_batch_start(
        self, trainer: Trainer, learner: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # Only here have all callbacks, such as averages of the weights, seen the last step. That of an epoch is
        # followed by the epoch's own validation.
        if self._next is None or trainer.global_step < self._next:
            return
        assert isinstance(learner, Learner)
        assert self._validating is not None
        self.steps.validated[trainer.global_step] = validate_within_epoch(trainer, learner, self._validating)
        self._next = self.steps.find_next(trainer.global_step, trainer.current_epoch)

    def on_train_epoch_end(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        reduce = learner.reduce_over_ranks if isinstance(learner, Learner) else None
        sizes, losses = self.trained.training_sums.read_batches(reduce)
        epoch = trainer.current_epoch + 1
        self.rows = self.steps.read_epoch(epoch, self._first, trainer.global_step, sizes, losses)


def validate_within_epoch(trainer: Trainer, learner: Learner, data: InMemory) -> dict[str, float]:
    """Validate as at the end of an epoch; return the means by column of metrics.csv. Every rank must call it.

    Nothing of it remains in the learner or for callbacks, and no random number is drawn.
    """
    batches, limit = data.val_dataloader(), trainer.limit_val_batches
    assert not isinstance(batches, list)
    number = limit if isinstance(limit, int) else int(limit * len(batches))
    precision = trainer.precision_plugin
    with (
        isolate_rng(),
        show_evaluated(trainer, learner, within_epoch=True),
        evaluation_mode(learner),
        _keep_validation(trainer, learner),
    ):
        for i, batch in enumerate(islice(batches, number)):
            with precision.val_step_context():
                learner.validation_step(precision.convert_input(batch), i)
        learner.on_validation_epoch_end()
        return learner.validation


@contextmanager
def _keep_validation(trainer: Trainer, learner: Learner) -> Iterator[None]:
    """Let the block validate; afterwards learner and callback_metrics hold the validation that they held before."""
    held, shown = {name: getattr(learner, name) for name in OF_VALIDATION}, dict(trainer.callback_metrics)
    learner.validation_sums, learner.validated = EpochSums(), []
    try:
        yield
    finally:
        for name, value in held.items():
            setattr(learner, name, value)
        trainer.callback_metrics.clear()
        trainer.callback_metrics.update(shown)
