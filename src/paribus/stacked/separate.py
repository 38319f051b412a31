"""Apply an optimizer to many runs one after the other, where its step works on whole matrices or whole networks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

EXTRA_KINDS = ("Prodigy", "SOAP", "Shampoo")  # of pytorch_optimizer
SCHEDULED = ("lr", "momentum", "betas")  # what a scheduler changes


def is_separable(kind: Callable[..., Any]) -> bool:
    """Return whether a step of this class needs the gradients alone: neither the loss again, nor averaged weights."""
    module, name = kind.__module__, kind.__name__
    ours = f"{module}.".startswith("torch.optim.") and kind is not LBFGS
    return ours or (module.startswith("pytorch_optimizer.") and name in EXTRA_KINDS)


class SeparateSteps:
    """The steps of K runs for all of their parameters, each by an optimizer of its own.

    Forward and backward passes are still those of the whole stack.

    Args:
        parameters: stacked parameters, (K, ...).
        sources: an optimizer for each run, whose only group has the run's learning rate.
        build: builds another optimizer like the k-th run's.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        sources: Sequence[Optimizer],
        build: Callable[[int, Sequence[nn.Parameter]], Optimizer],
    ):
        self.parameters = list(parameters)
        self.sources = list(sources)
        self.views = [[nn.Parameter(p.detach()[k]) for p in self.parameters] for k in range(len(sources))]
        self.optimizers = [build(k, views) for k, views in enumerate(self.views)]
        self._failed: set[int] = set()  # runs that take no more steps

    def refresh(self, rates: Tensor) -> None:
        """Copy from the sources what a scheduler changes."""
        for source, optimizer in zip(self.sources, self.optimizers, strict=True):
            changed = {key: source.param_groups[0][key] for key in SCHEDULED if key in source.param_groups[0]}
            optimizer.param_groups[0].update(changed)

    def step(self) -> dict[int, Exception]:
        """Step all runs. Return by run the errors of this step, as of a matrix with NaN; such a run takes no more."""
        failures: dict[int, Exception] = {}
        for k, optimizer in enumerate(self.optimizers):
            if k in self._failed:
                continue
            for view, p in zip(self.views[k], self.parameters, strict=True):
                assert p.grad is not None
                view.grad = p.grad[k]
            try:
                optimizer.step()
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # noqa: BLE001  that of one run, which the caller ends
                failures[k] = error
        self._failed |= failures.keys()
        return failures

    def get_state(self, k: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Return the state of each parameter of the k-th run, and its group without parameters."""
        optimizer = self.optimizers[k]
        states = [_copy(optimizer.state[view]) if view in optimizer.state else {} for view in self.views[k]]
        group = self.sources[k].param_groups[0] | optimizer.param_groups[0]
        return states, {key: value for key, value in group.items() if key != "params"}

    def get_moments(self, parameter: Tensor) -> list[tuple[slice, Optimizer, Tensor]]:
        """Return for each run its place, its optimizer, and its view of a stacked parameter."""
        [i] = [i for i, own in enumerate(self.parameters) if own is parameter]
        return [(slice(k, k + 1), self.optimizers[k], views[i]) for k, views in enumerate(self.views)]

    def load(self, states: Sequence[Sequence[Mapping[str, Any]]], groups: Sequence[Mapping[str, Any]]) -> None:
        """Load the states of each run's parameters, and its group, as `get_state` returns them."""
        for optimizer, own, group in zip(self.optimizers, states, groups, strict=True):
            numbers = list(range(len(own)))
            stored = {i: dict(state) for i, state in enumerate(own) if state}
            optimizer.load_state_dict({"state": stored, "param_groups": [{**group, "params": numbers}]})


def _copy(value: Any) -> Any:
    """Return a copy of a state in which no tensor shares the memory of the optimizer."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: _copy(each) for key, each in value.items()}
    return [_copy(each) for each in value] if isinstance(value, list) else value
