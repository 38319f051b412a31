"""Compute the loss of a fixed probe: the first training samples."""

import logging
from typing import ClassVar

import torch
from torch import Tensor

from paribus.data.foreign import ForeignData
from paribus.data.module import InMemory
from paribus.instruments.instrument import Instrument
from paribus.instruments.measurement import require_positive
from paribus.instruments.subject import Subject

log = logging.getLogger(__name__)
PRECISIONS = (torch.float32, torch.float64)


class ProbeInstrument(Instrument):
    """An instrument that needs the loss of the network on the first training samples, in evaluation mode.

    Args:
        probe_size: greatest number of samples in the probe.
        every_n_epochs: epochs between measurements, from the first.

    Raises UserError for an argument below 1.

    Attributes:
        option, what: what is measured, as an option and in messages.
        available: False where there is no probe: data with loaders of their own, weights in half precision. It is
            logged.
    """

    option: ClassVar[str]
    what: ClassVar[str]

    def __init__(self, probe_size: int = 256, every_n_epochs: int = 1):
        require_positive(f"{self.option}.probe_size", probe_size)
        require_positive(f"{self.option}.every_n_epochs", every_n_epochs)
        self.probe_size = probe_size
        self.every_n_epochs = every_n_epochs
        self.available = False
        self._said = False

    def attach(self, learner: Subject, data: InMemory | ForeignData) -> None:
        super().attach(learner, data)
        found = data.get_training_probe(self.probe_size)
        halves = {str(p.dtype) for p in learner.network.parameters() if p.dtype not in PRECISIONS}
        if found is None:
            log.info("%s is not recorded: data with loaders of their own have no probe with targets.", self.what)
        elif halves:
            log.info("%s is not recorded: weights of %s are too coarse for it.", self.what, ", ".join(sorted(halves)))
        else:
            self.available = True
            self._inputs, self._targets = (part.to(learner.device) for part in found)

    def compute_loss(self) -> Tensor:
        """Compute the mean loss, () or (K,), with gradients."""
        return self.learner.compute_loss(self._inputs, self._targets)

    def explain_gap(self, found: Tensor, epoch: int, why: str) -> None:
        """Log, once a run, from which epoch on and why values are left out, if any of those found is NaN."""
        if not self._said and bool(found.isnan().any()):
            self._said = True
            log.info("%s is left out in epoch %d, and wherever %s", self.what, epoch, why)
