"""Declare what the record reads of a LightningModule in training."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import numpy as np

from paribus.instruments.subject import Subject
from paribus.training.sums import EpochSums


class Trained(Subject, Protocol):
    """A module in training, as the record and the instruments see it: a Learner, or a ForeignLearner for any other."""

    @property
    def columns(self) -> Sequence[str]:
        """Columns of metrics.csv that are known before training."""

    @property
    def reserved(self) -> Collection[str]:
        """Columns that nobody else sets with self.log."""

    @property
    def prefix(self) -> str:
        """Prefix of the network's tensors in the module's state_dict."""

    @property
    def samples(self) -> int:
        """Samples of this epoch so far, with those of the current step."""

    @property
    def training_sums(self) -> EpochSums:
        """The losses of this epoch's batches so far, until `read_epoch` reads them."""

    @property
    def lr(self) -> float:
        """Learning rate of the last optimizer step."""

    @property
    def momentum(self) -> float | None:
        """Momentum of that step, or Adam's beta1; None for optimizers without."""

    @property
    def folds(self) -> Mapping[str, np.ndarray] | None:
        """Means over each fold of the validation samples, by column of folds.parquet; None without folds."""

    @property
    def probe(self) -> np.ndarray | None:
        """Predictions (n,) on the first validation samples, at the last validation; None where they are not known."""

    def read_epoch(self) -> tuple[dict[str, float], int | None]:
        """Return the means of the ended epoch by column of metrics.csv, and its first batch with a non-finite loss.

        Every rank must call it, once an epoch.
        """

    def has_finite_weights(self) -> bool:
        """Return whether every parameter is finite. This waits for the device."""
