"""Measure the largest eigenvalue of the Hessian of the loss."""

import logging
from collections.abc import Mapping

import torch
from torch import Tensor

from paribus.errors import summarise_error
from paribus.instruments.curvature import differentiate, find_largest_eigenvalue
from paribus.instruments.probe import ProbeInstrument
from paribus.instruments.subject import list_trained

log = logging.getLogger(__name__)
TOLERANCE = 0.01  # of the residual, relative to the eigenvalue
MOST_PRODUCTS = 100


class LargestEigenvalue(ProbeInstrument):
    """The largest eigenvalue of the Hessian of the probe's loss, with regard to all trained parameters.

    Column of metrics.csv:
        curvature/largest_eigenvalue: in units of loss per squared weight, at the end of the epoch. Gradient descent
            with a constant rate on the whole training part tends to raise it to 2 / rate, and keeps it there: the edge
            of stability (Cohen et al., 2021).

    Computed by at most 100 products of the Hessian with vectors (Lanczos), until the residual is 1 % of the value. The
    first vector is the same in all epochs and runs. A cell stays empty where that accuracy is not reached. Arguments
    are those of ProbeInstrument.
    """

    in_stack = "together"
    option, what = "largest_eigenvalue", "The largest eigenvalue of the Hessian"

    def scalars(self, epoch: int) -> Mapping[str, Tensor]:
        parameters = list_trained(self.learner)
        if not self.available or not parameters or (epoch - 1) % self.every_n_epochs:
            return {}
        losses = self.compute_loss()
        size = sum(parameter.numel() for parameter in parameters) // losses.numel()
        start = torch.randn(1, size, generator=torch.Generator().manual_seed(0)).to(parameters[0])
        try:
            with torch.enable_grad():
                multiply = differentiate(losses, parameters)
            found = find_largest_eigenvalue(multiply, start.expand(losses.numel(), -1), TOLERANCE, MOST_PRODUCTS)
        except RuntimeError as error:
            if not isinstance(error, NotImplementedError) and "is not implemented" not in str(error):
                raise
            self.available = False
            said = summarise_error(error)
            log.info("The largest eigenvalue is not recorded: the network has no second derivative (%s).", said)
            return {}
        why = f"{MOST_PRODUCTS} products with the Hessian do not bring it within {100 * TOLERANCE:g} %."
        self.explain_gap(found, epoch, why)
        return {"curvature/largest_eigenvalue": found.reshape(losses.shape)}
