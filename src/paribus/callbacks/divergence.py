"""Where a network broke."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from paribus.callbacks.instruments import Instrument
from paribus.data.module import InMemory
from paribus.models.layers import WeightLayer, on_activations
from paribus.models.learners import Learner


class Divergence(Instrument):
    """Names the layer where a run that diverges first had an activation that was not finite.

    A tensor is judged by its sum, which is not finite where an element is not, or where they are so large that their
    sum is beyond the type. On the CPU, where looking makes nothing wait, the network's output is looked at in every
    training step, and where it is not finite the same inputs pass again, layer by layer. Elsewhere the sums of all
    activations of all steps stay on the device, and only those of the step in which the run is found to have diverged
    are read.

    Args:
        look: whether to look at once; None: on the CPU.
    """

    def __init__(self, look: bool | None = None):
        self.look = look

    def attach(self, learner: Learner, data: InMemory) -> None:
        super().attach(learner, data)
        self._network = learner.network
        self._met: list[WeightLayer] = []
        self._sums: list[Tensor] = []
        self._steps: dict[int, tuple[list[WeightLayer], Tensor]] = {}
        if self.look or (self.look is None and learner.device.type == "cpu"):
            self._handles = [self._network.register_forward_hook(self._check)]
        else:
            self._handles = on_activations(learner.layers, self._see)

    def _check(self, network: nn.Module, inputs: Any, output: Any) -> None:
        if not network.training or self._sums or not isinstance(output, Tensor) or math.isfinite(_sum(output)):
            return
        handles = on_activations(self.learner.layers, self._see)
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                network.forward(*inputs)
        finally:
            for handle in handles:
                handle.remove()
        if self._sums and all(math.isfinite(total) for total in self._sums):
            self._sums[-1] = _sum(output)  # it went another way this time; the last layer's was seen to be broken

    def _see(self, layer: WeightLayer, output: Tensor) -> None:
        if self._network.training:
            self._met.append(layer)
            self._sums.append(_sum(output))

    def before_step(self, step: int, samples: int) -> None:
        if step == 0:
            self._steps = {}
        if self._sums:
            self._steps[step] = self._met, torch.stack(self._sums)
            self._met, self._sums = [], []

    def not_finite_at(self, step: int) -> tuple[WeightLayer, str] | None:
        """The first in depth whose activation was not finite."""
        met, sums = self._steps.get(step, ([], torch.empty(0)))
        bad = [met[i] for i in (~torch.isfinite(sums)).nonzero().flatten().tolist()]
        return (min(bad, key=lambda layer: layer.depth), "activation") if bad else None

    def finish(self, directory: Path, best: dict[str, Tensor]) -> None:
        for handle in self._handles:
            handle.remove()


def _sum(output: Tensor) -> Tensor:
    half = output.dtype in (torch.float16, torch.bfloat16)
    return output.detach().sum(dtype=torch.float32 if half else None)
