"""Find the layer where a run diverged."""

import math
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from paribus.data.foreign import ForeignData
from paribus.data.module import InMemory
from paribus.instruments.instrument import Instrument
from paribus.instruments.subject import Subject
from paribus.models.layers import WeightLayer, watch_activations


class Divergence(Instrument):
    """Find the first layer with a non-finite activation in the step where a run diverges.

    A tensor is tested by its sum, which is not finite if an element is not, or if the sum overflows the type. On the
    CPU the loss of each step is tested at once, and a non-finite one repeats the forward pass with hooks. Elsewhere a
    test would wait for the device: there the sums of all activations of an epoch stay on the device, and only those of
    the diverged step are read.

    Args:
        look: whether to test each loss at once; None for True on the CPU and False elsewhere.
    """

    in_stack = "once a run"

    def __init__(self, look: bool | None = None):
        self.look = look

    def attach(self, learner: Subject, data: InMemory | ForeignData) -> None:
        super().attach(learner, data)
        self._network = learner.network
        self._called: list[WeightLayer] = []
        self._sums: list[Tensor] = []
        self._steps: dict[int, tuple[list[WeightLayer], Tensor]] = {}
        self._handles: list[RemovableHandle] = []
        look = self.look or (self.look is None and learner.device.type == "cpu")
        if look and learner.calls_loss_hook:
            learner.loss_hook = self._check_loss
        else:
            self._handles = watch_activations(learner.layers, self._add_sum)

    def _check_loss(self, inputs: Tensor, output: Tensor, loss: Tensor) -> None:
        if math.isfinite(loss) or self._sums:
            return
        # The second pass gets copies of the buffers: norms update theirs in place, and the backward pass needs the old.
        buffers = [(m, *pair) for m in self._network.modules() for pair in m.named_buffers(recurse=False)]
        for module, name, buffer in buffers:
            setattr(module, name, buffer.clone())
        handles = watch_activations(self.learner.layers, self._add_sum)
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                self._network(inputs)
        finally:
            for handle in handles:
                handle.remove()
            for module, name, buffer in buffers:
                setattr(module, name, buffer)
        if self._sums and all(math.isfinite(total) for total in self._sums):
            self._sums[-1] = _sum_elements(output)  # the second pass took another path: use the first one's output

    def _add_sum(self, layer: WeightLayer, output: Tensor) -> None:
        if self._network.training:
            self._called.append(layer)
            self._sums.append(_sum_elements(output))

    def before_step(self, step: int, samples: int | Tensor) -> None:
        if step == 0:
            self._steps = {}
        if self._sums:
            self._steps[step] = self._called, torch.stack(self._sums)
            self._called, self._sums = [], []

    def find_nonfinite_layer(self, step: int, *run: int) -> tuple[WeightLayer, str] | None:
        """Return the first called layer whose activation was not finite."""
        called, sums = self._steps.get(step, ([], torch.empty(0)))
        bad = [called[i] for i in (~torch.isfinite(sums)).nonzero().flatten().tolist()]
        return (bad[0], "activation") if bad else None

    def finish(self, directory: Path, best: dict[str, Tensor]) -> None:
        self.learner.loss_hook = None
        for handle in self._handles:
            handle.remove()


def _sum_elements(output: Tensor) -> Tensor:
    half = output.dtype in (torch.float16, torch.bfloat16)
    return output.detach().sum(dtype=torch.float32 if half else None)
