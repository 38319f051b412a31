"""Share between instruments what several of them need of the gradients of a step."""

from collections.abc import Sequence

import torch
from torch import Tensor

from paribus.instruments import quantities
from paribus.instruments.subject import Subject, list_stepped, list_trained
from paribus.models.layers import WeightLayer


class StepGradients:
    """The gradients of the step that is about to be taken. Lists and norms are computed once, when first asked for."""

    def __init__(self) -> None:
        self._subject: Subject | None = None
        self._parameters: Sequence[Tensor] | None = None
        self._tensors: Sequence[Tensor] | None = None
        self._norms: Tensor | None = None

    def begin_step(self, step: int, subject: Subject) -> None:
        """Forget the step before. `step`: number in the epoch, from 0."""
        self._subject, self._tensors, self._norms = subject, None, None
        if step == 0:  # a user's callback may have unfrozen some
            self._parameters = None

    def end_step(self) -> None:
        """Let go of the gradients, so that the next backward pass has their memory."""
        self._tensors = None

    @property
    def parameters(self) -> Sequence[Tensor]:
        """The n parameters that the observed steps train, the same ones throughout an epoch."""
        if self._parameters is None:
            assert self._subject is not None
            self._parameters = list_trained(self._subject)
        return self._parameters

    def find_layers(self) -> tuple[list[tuple[WeightLayer, str]], list[int]]:
        """Return the tensors of the layers that are trained: layer and name of each, and its place among all."""
        assert self._subject is not None
        places = {id(parameter): place for place, parameter in enumerate(self.parameters)}
        found = list_stepped(self._subject)
        return [(layer, tensor) for layer, tensor, _ in found], [places[id(parameter)] for *_, parameter in found]

    @property
    def tensors(self) -> Sequence[Tensor]:
        """The dense gradient of each parameter: zeros for one that the loss does not depend on."""
        if self._tensors is None:
            self._tensors = [_get_gradient(parameter) for parameter in self.parameters]
        return self._tensors

    @property
    def norms(self) -> Tensor:
        """The 2-norm of each gradient, on the device: (n,), or (K, n) in a stack."""
        if self._norms is None:
            assert self._subject is not None
            tensors, lead = self.tensors, self._subject.lead
            self._norms = quantities.norm(tensors, lead) if tensors else torch.zeros(0)
        return self._norms


def _get_gradient(parameter: Tensor) -> Tensor:
    gradient = parameter.grad
    if gradient is None:
        return torch.zeros_like(parameter)
    return gradient.to_dense() if gradient.is_sparse else gradient
