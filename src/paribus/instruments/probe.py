"""Compute the loss of a fixed probe: the first training samples."""

import logging

import torch
from torch import Tensor

from paribus.data.foreign import ForeignData
from paribus.data.module import InMemory
from paribus.instruments.subject import Subject

log = logging.getLogger(__name__)
PRECISIONS = (torch.float32, torch.float64)


class Probe:
    """The first training samples and the loss of the network on them, in evaluation mode.

    Args:
        what: what is measured, for messages.
        size: greatest number of samples.

    Attributes:
        available: False where there is none: data with loaders of their own, weights in half precision. It is logged.
    """

    def __init__(self, what: str, size: int):
        self.what = what
        self.size = size
        self.available = False

    def attach(self, learner: Subject, data: InMemory | ForeignData) -> None:
        """Take the samples from the data."""
        found = data.get_training_probe(self.size)
        halves = {str(p.dtype) for p in learner.network.parameters() if p.dtype not in PRECISIONS}
        if found is None:
            log.info("%s is not recorded: data with loaders of their own have no probe with targets.", self.what)
        elif halves:
            log.info("%s is not recorded: weights of %s are too coarse for it.", self.what, ", ".join(sorted(halves)))
        else:
            self.available = True
            self._learner = learner
            self._inputs, self._targets = (part.to(learner.device) for part in found)

    def compute_loss(self) -> Tensor:
        """Compute the mean loss, () or (K,), with gradients."""
        return self._learner.compute_loss(self._inputs, self._targets)
