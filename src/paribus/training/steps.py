"""Record every optimizer step: its loss, learning rate and gradient norm, and validation within the first epochs."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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


class Steps(Instrument):
    """The optimizer steps of a run, for steps.parquet.

    train/loss is the mean loss of the step's batches, with the weights before the step; of an optimizer that evaluates
    a batch several times (LBFGS, SAM) that of the first evaluation. lr and momentum (or Adam's beta1) are those of the
    step. grad_norm is the 2-norm of the gradient of all trained parameters together, before clipping and unscaled under
    mixed precision. Of several optimizers it is the first one whose steps are observed.

    Validation takes place after about log-spaced steps, 1, 2, 5, 10, 20, 50, ..., of the first epochs, on a fixed part
    of the validation samples, evenly spaced. Apart from that it is the same as at the end of an epoch. It changes
    nothing of the training.

    Args:
        validate_epochs: number of first epochs within which there is validation; 0: none.
        validate_per_decade: number of validations while the number of steps grows tenfold.
        validate_samples: greatest number of samples of such a validation.

    Raises UserError for an argument out of range.
    """

    in_stack = "together"

    def __init__(self, validate_epochs: int = 3, validate_per_decade: int = 3, validate_samples: int = 1000):
        require_positive("steps.validate_per_decade", validate_per_decade)
        require_positive("steps.validate_samples", validate_samples)
        if type(validate_epochs) is not int or validate_epochs < 0:
            raise UserError(f"callbacks.steps.validate_epochs is {validate_epochs!r}; it must be a whole number, >= 0.")
        self.validate_epochs = validate_epochs
        self.validate_per_decade = validate_per_decade
        self.validate_samples = validate_samples
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

    def choose_samples(self, n: int) -> Tensor:
        """Choose those of n validation samples that are validated within epochs; return their numbers."""
        chosen = min(n, self.validate_samples)
        return torch.arange(chosen) * n // max(1, chosen)

    def before_step(self, step: int, samples: int | Tensor) -> None:
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
        self.steps.validated[trainer.global_step] = validate_within_epoch(
            trainer, learner, self._validating, self.steps.choose_samples
        )
        self._next = self.steps.find_next(trainer.global_step, trainer.current_epoch)

    def on_train_epoch_end(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        reduce = learner.reduce_over_ranks if isinstance(learner, Learner) else None
        sizes, losses = self.trained.training_sums.read_batches(reduce)
        epoch = trainer.current_epoch + 1
        self.rows = self.steps.read_epoch(epoch, self._first, trainer.global_step, sizes, losses)


def validate_within_epoch(
    trainer: Trainer, learner: Learner, data: InMemory, choose: Callable[[int], Tensor]
) -> dict[str, float]:
    """Validate as at the end of an epoch, but on some samples; return the means by column of metrics.csv.

    Nothing of it remains in the learner or for callbacks, and no random number is drawn. Every rank must call it.

    Args:
        choose: returns the numbers of the samples, given how many are validated at the end of an epoch.
    """
    assert data.val is not None
    whole, limit = data.make_eval_batches(data.val), trainer.limit_val_batches
    number = limit if isinstance(limit, int) else int(limit * len(whole))  # of batches
    chosen = choose(min(len(whole.inputs), number * whole.batch_size)).to(whole.inputs.device)
    batches = data.make_eval_batches((whole.inputs[chosen], whole.targets[chosen]))
    batches.rank, batches.processes = trainer.global_rank, trainer.world_size
    precision = trainer.precision_plugin
    with (
        isolate_rng(),
        show_evaluated(trainer, learner, within_epoch=True),
        evaluation_mode(learner),
        _keep_validation(learner),
    ):
        for i, batch in enumerate(batches):
            with precision.val_step_context():
                learner.validation_step(precision.convert_input(batch), i)
        return learner.read_validation(folds=None)


@contextmanager
def _keep_validation(learner: Learner) -> Iterator[None]:
    """Let the block validate; afterwards the learner holds the sums and outputs that it held before."""
    sums, validated = learner.validation_sums, learner.validated
    learner.validation_sums, learner.validated = EpochSums(), []
    try:
        yield
    finally:
        learner.validation_sums, learner.validated = sums, validated
