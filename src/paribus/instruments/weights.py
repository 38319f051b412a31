"""Measure the weights."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

from paribus.data.foreign import ForeignData
from paribus.data.module import InMemory
from paribus.instruments import quantities
from paribus.instruments.instrument import Instrument
from paribus.instruments.measurement import Measured, require_positive, split_by_tensor
from paribus.instruments.subject import Subject
from paribus.loggers.histogram import Histogram
from paribus.models.layers import CONVOLUTIONS, TRANSPOSED, WeightLayer
from paribus.record.tables import write_weights

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 64
LARGEST_COUNTED = 1e150  # in a histogram: larger values have no finite square
MOST_PLOTTED = 16  # layers per figure
UNIFORM_LAYERS = (nn.Linear, *CONVOLUTIONS)  # their default weights are uniform within +-1/sqrt(fan_in)


class Weights(Instrument):
    """Statistics, histograms and figures of each layer's weights.

    Quantities of tensors "weight" and "bias", in the unit of the weights: weight_mean, weight_std (population standard
    deviation of the elements) and weight_norm (2-norm). TensorBoard gets histograms and, of at most 16 layers at even
    spacing, figures. Small networks also get heat maps, and weights.npz with their weights before and after training.

    Args:
        every_n_epochs: epochs between histograms; the last epoch always has them.
        small: greatest number of parameters of a small network.

    Raises UserError for an argument below 1.
    """

    in_stack = "together"

    def __init__(self, every_n_epochs: int = 10, small: int = 300_000):
        require_positive("weights.every_n_epochs", every_n_epochs)
        require_positive("weights.small", small)
        self.every_n_epochs = every_n_epochs
        self.small = small

    def attach(self, learner: Subject, data: InMemory | ForeignData) -> None:
        super().attach(learner, data)
        self._is_small = sum(p.numel() for p in learner.network.parameters()) <= self.small
        chosen = np.linspace(0, len(learner.layers) - 1, min(MOST_PLOTTED, len(learner.layers))).round()
        self._plotted = [learner.layers[int(i)] for i in chosen]
        kept = learner.layers if self._is_small else self._plotted
        self._before = {layer: _to_array(learner.initial[layer.path]) for layer in kept}

    def measure(self, epoch: int) -> Iterable[Measured]:
        owners = [(layer, tensor) for layer in self.learner.layers for tensor, _ in layer.tensors]
        tensors = [parameter for layer in self.learner.layers for _, parameter in layer.tensors]
        if tensors:
            lead = self.learner.lead
            norms = quantities.norm(tensors, lead)
            yield from split_by_tensor("weight_mean", owners, quantities.mean(tensors, lead))
            yield from split_by_tensor("weight_std", owners, quantities.std(tensors, lead, norms))
            yield from split_by_tensor("weight_norm", owners, norms)

    def histograms(self, epoch: int, last: bool) -> Iterable[Histogram]:
        if (epoch % self.every_n_epochs == 0) == last:  # the last call adds an epoch that has none yet
            return
        for layer in self.learner.layers:
            for tensor, parameter in layer.tensors:
                values = parameter.detach().cpu().double().numpy()  # the range of two float32 may overflow float32
                if values.size:
                    yield _compute_histogram(layer, tensor, values.reshape(*values.shape[: self.learner.lead], -1))

    def figures(self, epoch: int, last: bool) -> Iterable[tuple[str, "Figure"]]:
        from paribus import plots

        if not self._plotted:
            return
        now = {layer.path: _to_array(layer.weight) for layer in self._plotted}
        bounds = {layer.path: layer.fan_in**-0.5 for layer in self._plotted if isinstance(layer.module, UNIFORM_LAYERS)}
        before = {layer.path: self._before[layer] for layer in self._plotted}
        total = len(self.learner.layers)
        note = f"{len(now)} of {total} layers" if len(now) < total else ""
        yield "weight_histograms", plots.plot_weight_histograms(now, before if last else None, bounds, note)
        if last and self._is_small:
            for layer in self._plotted:
                pair = self._before[layer], now[layer.path]
                if isinstance(layer.module, TRANSPOSED):  # whose units are along the second axis
                    pair = pair[0].swapaxes(0, 1), pair[1].swapaxes(0, 1)
                yield f"weight_heat_maps/{layer.label}", plots.plot_heat_maps(layer.path, *pair)

    def finish(self, directory: Path, best: dict[str, Tensor]) -> None:
        if self._is_small:
            write_weights(
                directory,
                {layer.path: self._before[layer] for layer in self.learner.layers},
                {layer.path: _to_array(layer.weight) for layer in self.learner.layers},
            )


def _to_array(parameter: Tensor) -> np.ndarray:
    return parameter.detach().float().cpu().numpy().copy()


def _compute_histogram(layer: WeightLayer, tensor: str, values: np.ndarray) -> Histogram:
    """Count the finite elements of `values`, (n,) or (K, n) with n at least 1, in BINS equal bins from min to max."""
    finite = np.abs(values) < LARGEST_COUNTED
    low = values.min(-1, keepdims=True, where=finite, initial=np.inf)
    high = values.max(-1, keepdims=True, where=finite, initial=-np.inf)
    low, high = np.where(low > high, 0, low), np.where(low > high, 0, high)  # no finite values after a divergence
    around = np.where(high - low < 1 / LARGEST_COUNTED, np.maximum(1, np.abs(low)), 0)  # not 1 alone: 1e30 + 1 is 1e30
    low, high = low - around, high + around
    known = np.where(finite, values, 0)
    bins = np.clip((known - low) * (BINS / (high - low)), 0, BINS - 1).astype(np.intp)
    rows = bins.reshape(-1, bins.shape[-1])
    places = rows + BINS * np.arange(len(rows))[:, None]
    counts = np.bincount(places.ravel(), finite.ravel(), BINS * len(rows))
    return Histogram(
        layer,
        tensor,
        counts.reshape(*values.shape[:-1], BINS),
        np.linspace(low[..., 0], high[..., 0], BINS + 1, axis=-1),
        known.sum(-1),
        np.square(known).sum(-1),
    )
