"""One optimizer of many runs: a group of parameters is stepped for all runs at once, where its steps allow it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from paribus.instruments.subject import select_moments
from paribus.stacked.device import send_values
from paribus.stacked.elementwise import ElementwiseSteps, is_elementwise
from paribus.stacked.modules import NotStackable
from paribus.stacked.muon import HiddenSteps
from paribus.stacked.separate import SeparateSteps, is_separable
from paribus.training.muon import Muon

Steps = ElementwiseSteps | HiddenSteps | SeparateSteps


def require_stackable_optimizer(*kinds: Callable[..., Any]) -> None:
    """Raise NotStackable unless all kinds are the same, and a stack can take its steps."""
    names = " and ".join(sorted({kind.__name__ for kind in kinds}))
    if len(set(kinds)) > 1:
        raise NotStackable(f"the optimizers are {names}; a stack has one kind")
    if not (kinds[0] is Muon or is_elementwise(kinds[0]) or is_separable(kinds[0])):
        raise NotStackable(f"the optimizer is {names}, whose step may need more than the gradients")


class StackedOptimizer:
    """One optimizer of K runs, whose step equals the steps of K optimizers of one class.

    Args:
        parameters: stacked parameters, (K, ...); their gradients are those of the sum of the runs' losses.
        sources: an optimizer for each run, over any parameters. Its groups give the run's learning rates and options.
            After a scheduler has changed them, `refresh` must be called. Runs may share one; runs with equal
            options must be neighbours.
        groups: positions, among `parameters`, of those of each group; None: all are one group.
        build: builds another optimizer like the k-th run's, of given parameters. Needed for those that take their steps
            run by run.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        sources: Sequence[Optimizer],
        groups: Sequence[Sequence[int]] | None = None,
        build: Callable[[int, Sequence[nn.Parameter]], Optimizer] | None = None,
    ):
        self.parameters = list(parameters)
        self.sources = list(sources)
        require_stackable_optimizer(*(type(source) for source in sources))
        for source in {id(source): source for source in sources}.values():
            source.step()  # without gradients, since a scheduler warns if its optimizer has made no step before it
        kind: type[Optimizer] = type(sources[0])
        members = [[self.parameters[i] for i in group] for group in groups] if groups else [self.parameters]
        self.parts: list[Steps]
        if kind is Muon:
            hidden, others = members
            self.parts = [HiddenSteps(hidden, sources), ElementwiseSteps(AdamW, others, sources, group=1)]
        elif any(len(source.param_groups) > 1 for source in sources):
            raise NotStackable("the optimizer has several groups of parameters")
        elif is_elementwise(kind):
            self.parts = [ElementwiseSteps(kind, self.parameters, sources)]
        else:
            assert build is not None
            self.parts = [SeparateSteps(self.parameters, sources, build)]
        self.refresh()

    def refresh(self) -> None:
        """Copy learning rates and options, such as momentum, from the sources."""
        device = self.parameters[0].device
        for number, part in enumerate(self.parts):
            rates = [float(source.param_groups[number]["lr"]) for source in self.sources]
            part.refresh(send_values(rates, device))

    @torch.no_grad()
    def step(self) -> dict[int, Exception]:
        """Step all runs; gradients may change in place. Return by run the errors; such a run takes no more steps."""
        failures: dict[int, Exception] = {}
        for part in self.parts:
            failures |= part.step() or {}
        return failures

    def get_state(self, k: int) -> dict[str, Any]:
        """Return the state_dict of the k-th run, in the form of its own optimizer alone."""
        state: dict[int, dict[str, Any]] = {}
        groups: list[dict[str, Any]] = []
        start = 0
        for part in self.parts:
            own, group = part.get_state(k)
            numbers = list(range(start, start + len(own)))
            state |= {i: values for i, values in zip(numbers, own, strict=True) if values}
            groups.append({**group, "params": numbers})
            start += len(own)
        return {"state": state, "param_groups": groups}

    def get_moments(self, parameter: Tensor) -> dict[str, Tensor]:
        """Return the state tensors (K, ...) of a stacked parameter that have its shape; NaN for runs without them."""
        [part] = [part for part in self.parts if any(own is parameter for own in part.parameters)]
        if isinstance(part, HiddenSteps):
            return part.get_moments(parameter)
        moments: dict[str, Tensor] = {}
        for runs, optimizer, tensor in part.get_moments(parameter):
            for name, value in select_moments([optimizer], tensor).items():
                moments.setdefault(name, torch.full_like(parameter, torch.nan))[runs] = value
        return moments

    def load(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Load the state of each run's optimizer. Learning rates and options still come from the sources."""
        start = 0
        for number, part in enumerate(self.parts):
            chosen = range(start, start + len(part.parameters))
            own = [[state["state"].get(i, {}) for i in chosen] for state in states]
            part.load(own, [state["param_groups"][number] for state in states])
            start += len(part.parameters)
