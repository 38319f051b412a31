"""Measure the singular values of weights."""

from collections.abc import Iterable

import torch

from paribus.instruments import quantities
from paribus.instruments.instrument import Instrument
from paribus.instruments.measurement import Measured, require_positive


class Spectrum(Instrument):
    """The size of each layer's weight W as a linear map. A convolution's kernel counts as a matrix (units, fan-in).

    Quantities of tensor "weight":
        spectral_norm: largest singular value ‖W‖₂: how much a layer stretches its input at most.
        stable_rank: ‖W‖_F² / ‖W‖₂², from 1 to the rank: in how many directions W acts (see quantities.stable_rank).

    Singular values are computed exactly, by torch.linalg. A weight that is not finite has NaN.

    Args:
        every_n_epochs: epochs between measurements, from epoch 0.

    Raises UserError for an argument below 1.
    """

    in_stack = "together"

    def __init__(self, every_n_epochs: int = 1):
        require_positive("spectrum.every_n_epochs", every_n_epochs)
        self.every_n_epochs = every_n_epochs

    def measure(self, epoch: int) -> Iterable[Measured]:
        layers = self.learner.layers
        if not layers or epoch % self.every_n_epochs:
            return
        lead = self.learner.lead
        singular = [quantities.singular_values(layer.weight, lead) for layer in layers]
        yield Measured("spectral_norm", "weight", layers, torch.stack([s[..., 0] for s in singular], -1))
        yield Measured("stable_rank", "weight", layers, torch.stack([quantities.stable_rank(s) for s in singular], -1))
