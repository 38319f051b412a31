"""Measure the largest eigenvalue of the Hessian of the loss."""

import logging
from collections.abc import Mapping

import torch
from torch import Tensor

from paribus.data.foreign import ForeignData
from paribus.data.module import InMemory
from paribus.instruments.curvature import differentiate, find_largest_eigenvalue
from paribus.instruments.instrument import Instrument
from paribus.instruments.measurement import require_positive
from paribus.instruments.probe import Probe
from paribus.instruments.subject import Subject, list_trained

log = logging.getLogger(__name__)
TOLERANCE = 0.01  # of the residual, relative to the eigenvalue
MOST_PRODUCTS = 100


class LargestEigenvalue(Instrument):
    """The largest eigenvalue of the Hessian of a probe's loss, with regard to all trained parameters.

    Column of metrics.csv:
        curvature/largest_eigenvalue: in units of loss per squared weight, at the end of the epoch. The probe is the
            first training samples, in evaluation mode. Gradient descent with a constant rate on the whole training part
            tends to raise it to 2 / rate, and keeps it there: the edge of stability (Cohen et al., 2021).

    Computed by at most 100 products of the Hessian with vectors (Lanczos), until the residual is 1 % of the value. The
    first vector is the same in all epochs and runs. A cell stays empty where that accuracy is not reached.

    Args:
        probe_size: greatest number of samples in the probe.
        every_n_epochs: epochs between measurements, from the first.

    Raises UserError for an argument below 1.
    """

    in_stack = "together"

    def __init__(self, probe_size: int = 256, every_n_epochs: int = 1):
        require_positive("largest_eigenvalue.probe_size", probe_size)
        require_positive("largest_eigenvalue.every_n_epochs", every_n_epochs)
        self.every_n_epochs = every_n_epochs
        self._probe = Probe("The largest eigenvalue of the Hessian", probe_size)
        self._said = False

    def attach(self, learner: Subject, data: InMemory | ForeignData) -> None:
        super().attach(learner, data)
        self._probe.attach(learner, data)

    def scalars(self, epoch: int) -> Mapping[str, Tensor]:
        parameters = list_trained(self.learner)
        if not self._probe.available or not parameters or (epoch - 1) % self.every_n_epochs:
            return {}
        losses = self._probe.compute_loss()
        size = sum(parameter.numel() for parameter in parameters) // losses.numel()
        start = torch.randn(1, size, generator=torch.Generator().manual_seed(0)).to(parameters[0])
        try:
            with torch.enable_grad():
                multiply = differentiate(losses, parameters)
            found = find_largest_eigenvalue(multiply, start.expand(losses.numel(), -1), TOLERANCE, MOST_PRODUCTS)
        except RuntimeError as error:
            if not isinstance(error, NotImplementedError) and "is not implemented" not in str(error):
                raise
            self._probe.available = False
            said = str(error).splitlines()[0]
            log.info("The largest eigenvalue is not recorded: the network has no second derivative (%s).", said)
            return {}
        if not self._said and bool(found.isnan().any()):
            self._said = True
            log.info(
                "The largest eigenvalue is left out in epoch %d, and wherever %d products with the Hessian do not "
                "bring it within %g %%.", epoch, MOST_PRODUCTS, 100 * TOLERANCE,
            )  # fmt: skip
        return {"curvature/largest_eigenvalue": found.reshape(losses.shape)}
