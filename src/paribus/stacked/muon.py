"""Apply Muon to the hidden weights of many runs at once."""

from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from paribus.stacked.elementwise import find_slices

# Of the step to the learning rate, by torch.optim.Muon's adjust_lr_fn.
RATIOS: dict[str | None, Callable[[int, int], float]] = {
    None: lambda rows, columns: sqrt(max(1, rows / columns)),
    "original": lambda rows, columns: sqrt(max(1, rows / columns)),
    "match_rms_adamw": lambda rows, columns: 0.2 * sqrt(max(rows, columns)),
    "spectral_unclamped": lambda rows, columns: sqrt(rows / columns),
}


def orthogonalise(matrices: Tensor, coefficients: Sequence[float], steps: int, eps: float) -> Tensor:
    """Bring the singular values of matrices (K, rows, columns) near 1 by Newton-Schulz iterations, in bfloat16.

    The iterations are those of torch.optim.Muon (Jordan et al., 2024), for all matrices at once.
    """
    a, b, c = coefficients
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.bfloat16()
    x = x.mT if tall else x
    x = x / torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class HiddenSteps:
    """The steps of K runs for the hidden weights of Muon, its first group of parameters.

    Args:
        parameters: stacked hidden weights, (K, ...), of two or more axes a run.
        sources: an instance of Muon for each run, with the run's learning rate and options.
    """

    def __init__(self, parameters: Sequence[Tensor], sources: Sequence[Optimizer]):
        self.parameters = list(parameters)
        self.sources = list(sources)
        groups = [source.param_groups[0] for source in sources]
        self.slices = find_slices(groups, sources)
        own: list[Tensor] = groups[0]["params"]
        # Columns in the order of memory of the weight of a run alone, so that their momenta can be exchanged.
        orders = [sorted(range(1, p.ndim), key=p.stride, reverse=True) for p in own]
        self._orders = [(0, 1, *(axis + 1 for axis in order)) for order in orders]
        self._momenta = [torch.zeros_like(self._view(i).flatten(2)) for i in range(len(own))]
        self._started = False
        decays = [float(group["weight_decay"]) for group in groups]
        self._decay = torch.tensor(decays, device=self.parameters[0].device)
        self._decays = any(decays)

    def _view(self, i: int, gradient: bool = False) -> Tensor:
        """Return a hidden weight, or its gradient, with its axes in the order of the matrix, not yet flattened."""
        parameter = self.parameters[i]
        tensor = parameter.grad if gradient else parameter.detach()
        assert tensor is not None
        return tensor.permute(self._orders[i])

    def refresh(self, rates: Tensor) -> None:
        """Take over the learning rates (K,), on the device."""
        self._rates = rates

    def step(self) -> None:
        """Step all runs."""
        self._started = True
        for i, momenta in enumerate(self._momenta):
            weights, gradients = self._view(i), self._view(i, gradient=True).flatten(2)
            shape = (-1, *(1,) * (weights.ndim - 1))
            if self._decays:
                weights.mul_(1 - (self._rates * self._decay).view(shape))
            for first, last in self.slices:
                group = self.sources[first].param_groups[0]
                momentum, own = momenta[first:last], gradients[first:last]
                momentum.lerp_(own, 1 - group["momentum"])
                update = own.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum
                update = orthogonalise(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
                ratio = RATIOS[group["adjust_lr_fn"]](*update.shape[1:])
                moved = weights[first:last]
                moved.addcmul_(update.float().view(moved.shape), (-ratio * self._rates[first:last]).view(shape))

    def get_state(self, k: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Return the state of each hidden weight of the k-th run, and its group without parameters."""
        states = [{"momentum_buffer": momenta[k].clone()} if self._started else {} for momenta in self._momenta]
        return states, {key: value for key, value in self.sources[k].param_groups[0].items() if key != "params"}

    def get_moments(self, parameter: Tensor) -> dict[str, Tensor]:
        """Return the momenta (K, ...) of a stacked weight if they have its shape, as those of a linear layer have."""
        [i] = [i for i, own in enumerate(self.parameters) if own is parameter]
        same = self._started and self._momenta[i].shape == parameter.shape
        return {"momentum_buffer": self._momenta[i]} if same else {}

    def load(self, states: Sequence[Sequence[Mapping[str, Any]]], groups: Sequence[Mapping[str, Any]]) -> None:
        """Load the states of each run's hidden weights, as `get_state` returns them."""
        for i, momenta in enumerate(self._momenta):
            for k, own in enumerate(states):
                if own[i]:
                    self._started = True
                    momenta[k].copy_(own[i]["momentum_buffer"])
