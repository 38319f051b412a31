"""Measure how far weights have moved from where they began."""

from collections.abc import Iterable

import torch

from paribus.instruments import quantities
from paribus.instruments.instrument import Instrument
from paribus.instruments.measurement import Measured


class Distance(Instrument):
    """The distance of each layer's weight w from its initial value w₀.

    Quantities of tensor "weight":
        distance: ‖w - w₀‖ (2-norm), in the unit of the weights.
        relative_distance: ‖w - w₀‖ / ‖w₀‖; infinite or NaN for a weight that began as 0. In wide networks it stays
            small, and training is nearly linear in the weights (lazy training: Chizat, Oyallon & Bach, 2019).
    """

    in_stack = "together"

    def measure(self, epoch: int) -> Iterable[Measured]:
        layers = self.learner.layers
        if not layers or epoch == 0:  # it is 0
            return
        initial = [self.learner.initial[layer.path].to(layer.weight.device) for layer in layers]
        moved, began = quantities.update_norms(initial, [layer.weight for layer in layers], self.learner.lead)
        yield Measured("distance", "weight", layers, moved)
        yield Measured("relative_distance", "weight", layers, torch.as_tensor(moved / began))
