"""Optimizers in a stack take the steps that each run's own takes alone, and their states can be exchanged."""

import copy
from typing import Any

import pytest
import torch
import yaml
from conftest import ROOT
from torch import nn
from torch.optim import Optimizer

from paribus.run.optimization import make_optimizer_factory
from paribus.stacked.optimizer import StackedOptimizer
from paribus.stacked.sources import locate_groups

NAMES = ["muon", "lion", "adopt", "ademamix", "adafactor", "prodigy", "soap", "shampoo"]
RUNS, STEPS = 4, 6


def make_network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 5), nn.Linear(5, 2))
    return network.to(memory_format=torch.channels_last)


def make_optimizer(name: str, run: int, parameters: Any, **more: Any) -> Optimizer:
    """The optimizer of conf/optim/ with a rate and a decay of the run's own; runs 2 and 3 differ in an option too."""
    node = yaml.safe_load((ROOT / "conf" / "optim" / f"{name}.yaml").read_text())
    node = {key: float(v) if isinstance(v, str) and "e-" in v else v for key, v in node.items()}
    node |= {"lr": [0.01, 0.02, 0.01, 0.01][run], "weight_decay": [0.0, 0.1, 0.1, 0.0][run]}
    if name == "muon":
        node |= {"adamw_lr": [0.01, 0.02, 0.03, 0.01][run], "ns_steps": 5 if run < 2 else 4} | more
    elif "betas" in node and run > 1:
        node["betas"] = [0.8, *node["betas"][1:]]
    return make_optimizer_factory({"optim": node})(parameters)


def set_gradients(networks: list[nn.Module], step: int) -> list[torch.Tensor]:
    """Give each network gradients; return them stacked."""
    generator = torch.Generator().manual_seed(step)
    whole = [torch.randn(RUNS, *p.shape, generator=generator) for p in networks[0].parameters()]
    for k, network in enumerate(networks):
        for p, gradient in zip(network.parameters(), whole, strict=True):
            p.grad = torch.empty_like(p).copy_(gradient[k])
    return whole


def make_stack(name: str, networks: list[nn.Module], **more: Any) -> StackedOptimizer:
    sources = [make_optimizer(name, k, make_network(k).parameters(), **more) for k in range(RUNS)]
    parameters = [
        nn.Parameter(torch.stack([p.detach() for p in own]))
        for own in zip(*(network.parameters() for network in networks), strict=True)
    ]
    # the second of two convolutions and the first of two linear layers are hidden
    groups = [[2, 4], [0, 1, 3, 5, 6, 7]] if name == "muon" else [list(range(8))]
    assert locate_groups(make_optimizer(name, 0, networks[0].parameters()), networks[0]) == groups
    return StackedOptimizer(parameters, sources, groups, lambda k, own: make_optimizer(name, k, own, **more))


@pytest.mark.parametrize("name", [*NAMES, "muon adjusted"])
@pytest.mark.cases(9)
def test_steps_and_states_are_those_of_each_run_alone(name: str) -> None:
    name, _, adjusted = name.partition(" ")
    if name not in ("muon", "adafactor"):
        pytest.importorskip("pytorch_optimizer")
    more: dict[str, Any] = {"adjust_lr_fn": "match_rms_adamw", "nesterov": False} if adjusted else {}
    networks = [make_network(k) for k in range(RUNS)]
    optimizers = [make_optimizer(name, k, network.parameters(), **more) for k, network in enumerate(networks)]
    stacked = make_stack(name, networks, **more)
    # a convolution's momentum is a matrix of bfloat16 steps: an element may round to its neighbour
    tolerance: dict[str, Any] = {"rtol": 1e-5, "atol": 3e-4 if name == "muon" else 2e-5, "check_dtype": False}

    def check() -> None:
        for i, own in enumerate(zip(*(network.parameters() for network in networks), strict=True)):
            torch.testing.assert_close(stacked.parameters[i].detach(), torch.stack(own).detach(), **tolerance)

    def step(number: int) -> None:
        for p, gradient in zip(stacked.parameters, set_gradients(networks, number), strict=True):
            p.grad = torch.empty_like(p).copy_(gradient)  # autograd too gives it the layout of the weight
        stacked.step()
        for optimizer in optimizers:
            optimizer.step()

    for number in range(STEPS):
        step(number)
    check()
    states = [stacked.get_state(k) for k in range(RUNS)]
    for state, optimizer in zip(states, optimizers, strict=True):
        expected = optimizer.state_dict()
        assert state["state"].keys() == expected["state"].keys()
        for i, own in expected["state"].items():
            assert state["state"][i].keys() == own.keys()
            for key, value in own.items():
                if isinstance(value, torch.Tensor):
                    torch.testing.assert_close(state["state"][i][key], value, **tolerance)
        for group, known in zip(state["param_groups"], expected["param_groups"], strict=True):
            assert group["params"] == known["params"] and group["lr"] == known["lr"]
            assert group.get("step") == known.get("step")
    first = stacked  # another stack and other optimizers alone go on from these states
    stacked = make_stack(name, networks, **more)
    stacked.load(states)
    stacked.refresh()
    with torch.no_grad():
        for p, value in zip(stacked.parameters, first.parameters, strict=True):
            p.copy_(value)
    optimizers = [make_optimizer(name, k, network.parameters(), **more) for k, network in enumerate(networks)]
    for optimizer, state in zip(optimizers, states, strict=True):
        optimizer.load_state_dict(copy.deepcopy(state))  # torch would share its tensors
    for number in range(STEPS, STEPS + 3):
        step(number)
    check()


def test_an_error_in_the_step_of_one_run_leaves_the_others_alone() -> None:
    """Shampoo decomposes matrices, which fails where a run has diverged: its gradients are NaN."""
    pytest.importorskip("pytorch_optimizer")
    networks = [make_network(k) for k in range(RUNS)]
    optimizers = [make_optimizer("shampoo", k, network.parameters()) for k, network in enumerate(networks)]
    stacked = make_stack("shampoo", networks)
    failed: dict[int, Exception] = {}
    for number in range(3):
        for p, gradient in zip(stacked.parameters, set_gradients(networks, number), strict=True):
            p.grad = gradient.clone()
            p.grad[1] = torch.nan
        found = stacked.step()
        assert not failed.keys() & found.keys()  # it takes no further step
        failed |= found
        for k in (0, 2, 3):
            optimizers[k].step()
    assert list(failed) == [1] and isinstance(failed[1], RuntimeError)
    for k in (0, 2, 3):
        for p, whole in zip(networks[k].parameters(), stacked.parameters, strict=True):
            torch.testing.assert_close(whole[k].detach(), p.detach(), rtol=1e-5, atol=2e-5)
