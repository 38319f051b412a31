"""What comes out of the layers."""

import logging
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from paribus.data.module import InMemory
from paribus.instruments import quantities
from paribus.instruments.instrument import Instrument
from paribus.instruments.measurement import Measured, require_positive
from paribus.instruments.subject import Subject
from paribus.models.layers import WeightLayer, watch_activations

log = logging.getLogger(__name__)


class Activations(Instrument):
    """Activations of each layer on a fixed probe batch, the first samples of the validation part, in evaluation mode.

    activation_mean and activation_std over all samples and units; dead_fraction, the share of units that are exactly 0
    on the whole probe; after tanh and sigmoid also saturated_fraction. A unit of a convolution is a channel. Of a
    module that is used more than once, its first use. Zero gradients are another thing: grad_zero_fraction.

    Args:
        probe_size: samples in the probe, at most.
        every_n_epochs: how often.
    """

    in_stack = "together"

    def __init__(self, probe_size: int = 256, every_n_epochs: int = 1):
        require_positive("activations.probe_size", probe_size)
        require_positive("activations.every_n_epochs", every_n_epochs)
        self.probe_size = probe_size
        self.every_n_epochs = every_n_epochs
        self._probe: Tensor | None = None

    def attach(self, learner: Subject, data: InMemory) -> None:
        super().attach(learner, data)
        samples = len(data.val[0]) if data.val else 0
        if not samples:
            log.info("No activations are recorded: there is no validation part to take a probe from.")
            return
        unseen = [layer.path for layer in learner.layers[:-1] if layer.activation is None]
        if unseen:
            log.info("No activation module is seen behind %s: activations are their own outputs.", ", ".join(unseen))
        self._probe = data.get_first_inputs("val", self.probe_size).to(learner.device)

    def measure(self, epoch: int) -> Iterable[Measured]:
        if self._probe is None or epoch % self.every_n_epochs:
            return
        found: dict[str, dict[WeightLayer, Tensor]] = {}

        def see(layer: WeightLayer, output: Tensor) -> None:
            # at once: a module that comes later may write over it
            if layer in found.get("activation_mean", ()):
                return
            output, lead = output.float(), self.learner.lead
            values = {
                "activation_mean": quantities.mean([output], lead)[..., 0],
                "activation_std": quantities.std([output], lead)[..., 0],
            }
            if layer.activation is not None:
                values["dead_fraction"] = quantities.dead_fraction(output, layer.unit_axis, lead)
            if isinstance(layer.activation, nn.Tanh | nn.Sigmoid):
                low = isinstance(layer.activation, nn.Sigmoid)
                values["saturated_fraction"] = quantities.saturated_fraction(output, low, lead)
            for name, value in values.items():
                found.setdefault(name, {})[layer] = value

        handles = watch_activations(self.learner.layers, see)
        try:
            self.learner.infer(self._probe)
        finally:
            for handle in handles:
                handle.remove()
        for name, values in found.items():
            yield Measured(name, "activation", list(values), torch.stack(list(values.values()), -1))
