"""Where a network broke."""

import math
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from paribus.data.module import InMemory
from paribus.instruments.instrument import Instrument
from paribus.instruments.subject import Subject
from paribus.models.layers import WeightLayer, watch_activations


class Divergence(Instrument):
    """Names the layer where a run that diverges first had an activation that was not finite.

    A tensor is judged by its sum, which is not finite where an element is not, or where they are so large that their
    sum is beyond the type. On the CPU, where looking makes nothing wait, the loss is looked at in every training step,
    and where it is not finite the same inputs pass through the network again, layer by layer. Elsewhere the sums of all
    activations of all steps stay on the device, and only those of the step in which the run is found to have diverged
    are read.

    Args:
        look: whether to look at once; None: on the CPU.
    """

    in_stack = "once a run"

    def __init__(self, look: bool | None = None):
        self.look = look

    def attach(self, learner: Subject, data: InMemory) -> None:
        super().attach(learner, data)
        self._network = learner.network
        self._met: list[WeightLayer] = []
        self._sums: list[Tensor] = []
        self._steps: dict[int, tuple[list[WeightLayer], Tensor]] = {}
        self._handles: list[RemovableHandle] = []
        if self.look or (self.look is None and learner.device.type == "cpu"):
            learner.loss_hook = self._look
        else:
            self._handles = watch_activations(learner.layers, self._see)

    def _look(self, inputs: Tensor, output: Tensor, loss: Tensor) -> None:
        if math.isfinite(loss) or self._sums:
            return
        # A norm counts every pass, and the backward pass to come needs its buffers as they are: this one gets copies.
        buffers = [(m, *pair) for m in self._network.modules() for pair in m.named_buffers(recurse=False)]
        for module, name, buffer in buffers:
            setattr(module, name, buffer.clone())
        handles = watch_activations(self.learner.layers, self._see)
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                self._network(inputs)
        finally:
            for handle in handles:
                handle.remove()
            for module, name, buffer in buffers:
                setattr(module, name, buffer)
        if self._sums and all(math.isfinite(total) for total in self._sums):
            self._sums[-1] = _sum_elements(
                output
            )  # the network went another way this time; its output was seen to be broken

    def _see(self, layer: WeightLayer, output: Tensor) -> None:
        if self._network.training:
            self._met.append(layer)
            self._sums.append(_sum_elements(output))

    def before_step(self, step: int, samples: int) -> None:
        if step == 0:
            self._steps = {}
        if self._sums:
            self._steps[step] = self._met, torch.stack(self._sums)
            self._met, self._sums = [], []

    def find_nonfinite_layer(self, step: int, *run: int) -> tuple[WeightLayer, str] | None:
        """The first that data passed through whose activation was not finite."""
        met, sums = self._steps.get(step, ([], torch.empty(0)))
        bad = [met[i] for i in (~torch.isfinite(sums)).nonzero().flatten().tolist()]
        return (bad[0], "activation") if bad else None

    def finish(self, directory: Path, best: dict[str, Tensor]) -> None:
        self.learner.loss_hook = None
        for handle in self._handles:
            handle.remove()


def _sum_elements(output: Tensor) -> Tensor:
    half = output.dtype in (torch.float16, torch.bfloat16)
    return output.detach().sum(dtype=torch.float32 if half else None)
