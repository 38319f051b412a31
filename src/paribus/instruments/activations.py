"""Measure the activations of layers."""

import logging
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from paribus.data.foreign import ForeignData
from paribus.data.module import InMemory
from paribus.instruments import quantities
from paribus.instruments.instrument import Instrument
from paribus.instruments.measurement import Measured, require_positive
from paribus.instruments.subject import Subject
from paribus.models.layers import WeightLayer, watch_activations

log = logging.getLogger(__name__)


class Activations(Instrument):
    """Statistics of each layer's activation on a probe: the first validation samples, in evaluation mode.

    Quantities of tensor "activation", in the activation's unit or as fractions:
        activation_mean, activation_std: over all samples, units and positions.
        activation_rms, activation_max: root mean square and largest absolute value over the same.
        dead_fraction: fraction of units that are exactly 0 on the whole probe (layers with an activation module). A
            unit of a convolution is a channel. It is not grad_zero_fraction, the fraction of zero gradients.
        saturated_fraction: after tanh and sigmoid, see quantities.saturated_fraction.

    A module that is used several times is measured at its first use. Without a validation part nothing is measured.

    Args:
        probe_size: greatest number of samples in the probe.
        every_n_epochs: epochs between measurements.

    Raises UserError for an argument below 1.
    """

    in_stack = "together"

    def __init__(self, probe_size: int = 256, every_n_epochs: int = 1):
        require_positive("activations.probe_size", probe_size)
        require_positive("activations.every_n_epochs", every_n_epochs)
        self.probe_size = probe_size
        self.every_n_epochs = every_n_epochs
        self._probe: Tensor | None = None
        self._counts: Sequence[int] = ()  # of the probe's samples by run, where the runs of a stack differ in it

    def attach(self, learner: Subject, data: InMemory | ForeignData) -> None:
        super().attach(learner, data)
        probe = data.get_probe(self.probe_size)
        if probe is None:
            log.info("Activations are not recorded: there are no validation samples that the network takes as a probe.")
            return
        bare = [layer.path for layer in learner.layers[:-1] if layer.activation is None]
        if bare:
            log.info("No activation module follows %s: their own outputs are recorded as activations.", ", ".join(bare))
        self._probe = probe.to(learner.device)
        if learner.lead:
            counts = data.count_probe(self.probe_size)  # type: ignore[union-attr]  # of the runs of a stack
            self._counts = counts if len(set(counts)) > 1 else ()

    def measure(self, epoch: int) -> Iterable[Measured]:
        if self._probe is None or epoch % self.every_n_epochs:
            return
        found: dict[str, dict[WeightLayer, Tensor]] = {}

        def measure_layer(layer: WeightLayer, output: Tensor) -> None:
            # measured inside the hook, because a later in-place module may overwrite the output
            if layer in found.get("activation_mean", ()):
                return
            output = output.float()
            if not self._counts:
                values = self._measure_output(layer, output)
            else:
                values = {}
                for count in set(self._counts):  # the runs with as many samples at once
                    chosen = [k for k, own in enumerate(self._counts) if own == count]
                    for name, value in self._measure_output(layer, output[chosen, :count]).items():
                        values.setdefault(name, value.new_empty(len(self._counts)))[chosen] = value
            for name, value in values.items():
                found.setdefault(name, {})[layer] = value

        handles = watch_activations(self.learner.layers, measure_layer)
        try:
            self.learner.infer(self._probe)
        finally:
            for handle in handles:
                handle.remove()
        for name, values in found.items():
            yield Measured(name, "activation", list(values), torch.stack(list(values.values()), -1))

    def _measure_output(self, layer: WeightLayer, output: Tensor) -> dict[str, Tensor]:
        """Measure the output of a layer, each quantity () or (K,)."""
        lead = self.learner.lead
        norms = quantities.norm([output], lead)
        values = {
            "activation_mean": quantities.mean([output], lead)[..., 0],
            "activation_std": quantities.std([output], lead, norms)[..., 0],
            "activation_rms": quantities.rms([output], lead, norms)[..., 0],
            "activation_max": quantities.largest_abs([output], lead)[..., 0],
        }
        if layer.activation is not None:
            values["dead_fraction"] = quantities.dead_fraction(output, layer.unit_axis, lead)
        if isinstance(layer.activation, nn.Tanh | nn.Sigmoid):
            low = isinstance(layer.activation, nn.Sigmoid)
            values["saturated_fraction"] = quantities.saturated_fraction(output, low, lead)
        return values
