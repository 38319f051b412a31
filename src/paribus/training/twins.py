"""Compute what shows where two runs part: predictions on a probe, and a sketch of the weights."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from paribus.record import SKETCH_SIZE
from paribus.training.losses import Loss


def read_predictions(loss: Loss, output: Tensor) -> np.ndarray:
    """Read the predictions (n,) from outputs: class numbers as int16, or values in the unit of the target as float32.

    Args:
        output: outputs of the network: (n, classes), or (n,) for a regression or a binary loss.
    """
    if loss.task == "regression":
        return loss.interpret(output).float().flatten().cpu().numpy()
    classes = output.flatten() > 0 if loss.binary else output.argmax(1)
    return classes.to(torch.int16).cpu().numpy()


class WeightSketch:
    """A projection of a network's parameters onto SKETCH_SIZE dimensions, equal for all networks of the same size.

    Each parameter is added, with a fixed random sign, to the coordinate that is its number modulo SKETCH_SIZE (feature
    hashing: Weinberger et al., 2009; Charikar, Chen & Farach-Colton, 2002). The distance between two sketches estimates
    the distance between the weights. Its square has no bias, and a relative standard deviation of at most
    √(2 / SKETCH_SIZE) = 12.5 % where the difference is spread over many weights, so the distance has 6.3 %. SKETCH_SIZE
    is prime, so that a column of a weight matrix, whose stride is a width, is spread over all coordinates.

    Args:
        parameters: the parameters of a network; of a stack of K, with a first axis of K.
        lead: the number of axes that count runs: 0, or 1 in a stack.
    """

    def __init__(self, parameters: Iterable[Tensor], lead: int = 0):
        self.parameters = [parameter for parameter in parameters if parameter.is_floating_point()]
        self.lead = lead
        size = sum(parameter[(0,) * lead].numel() for parameter in self.parameters)
        rows = -(-size // SKETCH_SIZE)
        generator = torch.Generator().manual_seed(0)  # of its own: it draws nothing of a run's
        signs = torch.randint(2, (rows * SKETCH_SIZE,), generator=generator, dtype=torch.int8) * 2 - 1
        self._signs = signs.to(self.parameters[0].device) if self.parameters else signs
        self._padding = rows * SKETCH_SIZE - size

    @torch.no_grad()
    def compute(self) -> np.ndarray:
        """Compute the sketch of the parameters as they are, float32: (SKETCH_SIZE,), or (K, SKETCH_SIZE)."""
        if not self.parameters:
            return np.zeros(SKETCH_SIZE, np.float32)
        flat = torch.cat(
            [parameter.reshape(*parameter.shape[: self.lead], -1).float() for parameter in self.parameters], -1
        )
        signed = torch.nn.functional.pad(flat, (0, self._padding)) * self._signs
        return signed.unflatten(-1, (-1, SKETCH_SIZE)).sum(-2).cpu().numpy()
