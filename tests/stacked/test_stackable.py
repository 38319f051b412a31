"""Networks and optimizers that can be stacked compute what each computes alone; others are refused."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from paribus.models.layers import evaluation_mode
from paribus.models.norms import make_norm
from paribus.stacked.checks import check_outputs, check_step
from paribus.stacked.clipping import Clipping
from paribus.stacked.elementwise import ElementwiseSteps
from paribus.stacked.modules import NotStackable, StackedLinear, get_member_state, stack_modules
from paribus.stacked.optimizer import StackedOptimizer

KINDS = {
    "sgd": (torch.optim.SGD, {}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9, "dampening": 0.1}),
    "nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "adam": (torch.optim.Adam, {"betas": (0.8, 0.99)}),
    "amsgrad": (torch.optim.Adam, {"amsgrad": True}),
    "decoupled": (torch.optim.NAdam, {"decoupled_weight_decay": True}),
    "adamw": (torch.optim.AdamW, {}),
    "nadam": (torch.optim.NAdam, {}),
    "adagrad": (torch.optim.Adagrad, {"lr_decay": 0.1}),
    "rmsprop": (torch.optim.RMSprop, {"momentum": 0.9, "centered": True}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("agree", [True, False])
def test_steps_are_those_of_torch(kind: str, agree: bool) -> None:
    """Step by step, with a rate that changes; runs that agree in everything share their source."""
    make, values = KINDS[kind]
    generator = torch.Generator().manual_seed(0)
    runs, shapes = 4, [(3, 5), (5,), ()]
    start = [torch.randn(runs, *shape, generator=generator) for shape in shapes]
    rates, decays = ([0.01] * runs, [0.1] * runs) if agree else ([0.01, 0.1, 0.03, 0.01], [0, 0.1, 0.1, 0.01])
    one_by_one = [[nn.Parameter(t[k].clone()) for t in start] for k in range(runs)]
    torchs = [make(p, lr=rates[k], weight_decay=decays[k], **values) for k, p in enumerate(one_by_one)]
    sources = [make([nn.Parameter(torch.zeros(1))], lr=rates[k], weight_decay=decays[k], **values) for k in range(runs)]
    sources = [sources[0]] * runs if agree else sources
    together = [nn.Parameter(t.clone()) for t in start]
    stacked = StackedOptimizer(together, sources)
    [steps] = stacked.parts
    assert isinstance(steps, ElementwiseSteps) and [part.identical for part in steps.slices] == [agree]
    for step in range(12):
        gradients = [torch.randn(runs, *shape, generator=generator) for shape in shapes]
        for p, gradient in zip(together, gradients, strict=True):
            p.grad = gradient.clone()
        stacked.step()
        for k, optimizer in enumerate(torchs):
            for p, gradient in zip(one_by_one[k], gradients, strict=True):
                p.grad = gradient[k].clone()
            optimizer.step()
            for p, whole in zip(one_by_one[k], together, strict=True):
                torch.testing.assert_close(whole[k], p, rtol=1e-5, atol=1e-6)
        if step == 5:
            for optimizer in [*torchs, *{id(source): source for source in sources}.values()]:
                optimizer.param_groups[0]["lr"] *= 0.5
            stacked.refresh()
    for k, optimizer in enumerate(torchs):
        mine, its = stacked.get_state(k)["state"], optimizer.state_dict()["state"]
        assert mine.keys() == its.keys()
        for i, known in its.items():
            assert mine[i].keys() == known.keys()
            for key, value in known.items():
                torch.testing.assert_close(mine[i][key], value, rtol=1e-5, atol=1e-6, check_dtype=False)


def frozen() -> nn.Module:
    network = nn.Sequential(nn.Linear(3, 3))
    network[0].weight.requires_grad_(False)
    return network


def twice() -> nn.Module:
    layer = nn.Linear(3, 3)
    return nn.Sequential(layer, nn.ReLU(), layer)


def buffered() -> nn.Module:
    network = nn.Sequential(nn.Linear(3, 3))
    network.register_buffer("scale", torch.ones(16))
    return network


@pytest.mark.parametrize("bias", [True, False])
def test_gradients_of_stacked_layers_are_those_of_their_outputs(bias: bool) -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(3, 2, bias=bias, dtype=torch.float64) for _ in range(4)]
    layer = StackedLinear(layers)
    inputs = torch.randn(4, 5, 3, dtype=torch.float64, requires_grad=True)
    expected = torch.stack([one(x) for one, x in zip(layers, inputs, strict=True)])
    assert torch.allclose(layer(inputs), expected)

    def outputs(inputs: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        named = dict(zip(dict(layer.named_parameters()), parameters, strict=True))
        return torch.func.functional_call(layer, named, (inputs,))

    assert torch.autograd.gradcheck(outputs, (inputs, *layer.parameters()))


@pytest.mark.parametrize(("make", "why"), [(frozen, "frozen"), (twice, "two names"), (buffered, "buffers of its own"),
                                           (lambda: nn.Sequential(nn.BatchNorm3d(3)), "BatchNorm3d, which may")])  # fmt: skip
def test_networks_that_cannot_be_stacked(make: Callable[[], nn.Module], why: str) -> None:
    with pytest.raises(NotStackable, match=why):
        stack_modules([make(), make()])


def test_optimizers_that_cannot_be_stacked() -> None:
    def of(kind: type[torch.optim.Optimizer], **values: object) -> torch.optim.Optimizer:
        return kind([nn.Parameter(torch.zeros(1))], lr=0.1, **values)  # type: ignore[call-arg]

    p = [nn.Parameter(torch.zeros(2, 3))]
    for pair, why in {
        (of(torch.optim.SGD), of(torch.optim.Adam)): "Adam and SGD",
        (of(torch.optim.NAdam), of(torch.optim.NAdam, decoupled_weight_decay=True)): "decoupled",
        (of(torch.optim.SGD, maximize=True), of(torch.optim.SGD)): "maximizes",
        (of(torch.optim.LBFGS), of(torch.optim.LBFGS)): "the optimizer is LBFGS, whose step may need more",
    }.items():
        with pytest.raises(NotStackable, match=why):
            StackedOptimizer(p, pair)


class Scaled(nn.Module):
    """A layer that stacks do not know: its weight times the features, in another order of axes."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(5, 4))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.einsum("oi,ni->no", self.kernel.softmax(0), inputs)


def convolutional(norm: str) -> nn.Module:
    layers = [nn.Conv2d(2, 4, 3, stride=2, bias=False), make_norm(norm, 4, images=True), nn.PReLU(4), nn.MaxPool2d(2)]
    more = [nn.Conv2d(4, 4, (1, 3), padding="same", groups=2), nn.Softmax(1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*(layer for layer in layers if layer is not None), *more, Scaled(), nn.LayerNorm(5))


@pytest.mark.parametrize("norm", ["none", "batch", "layer", "group", "rms"])
def test_images_and_unknown_layers_have_the_outputs_and_gradients_of_their_networks(norm: str) -> None:
    torch.manual_seed(0)
    networks = [convolutional(norm) for _ in range(3)]
    for parameter in (p for network in networks for p in network.parameters()):
        parameter.data += torch.randn_like(parameter) / 10
    stacked, inputs = stack_modules(networks), torch.randn(3, 6, 2, 12, 12)
    expected = torch.stack([network(own) for network, own in zip(networks, inputs, strict=True)])
    torch.testing.assert_close(stacked(inputs), expected, rtol=1e-4, atol=1e-5)
    pull = torch.randn_like(expected)
    (stacked(inputs) * pull).sum().backward()
    (expected * pull).sum().backward()
    for network, own in zip(networks, inputs, strict=True):
        network(own)  # a second forward pass in training mode, of which running means know
    for k, network in enumerate(networks):
        for name, tensor in network.state_dict().items():
            torch.testing.assert_close(get_member_state(stacked, k)[name], tensor, rtol=1e-4, atol=1e-5)
        for name, parameter in network.named_parameters():
            torch.testing.assert_close(stacked.get_parameter(name).grad[k], parameter.grad, rtol=1e-3, atol=1e-4)
    stacked.eval()
    expected = torch.stack([network.eval()(own) for network, own in zip(networks, inputs, strict=True)])
    torch.testing.assert_close(stacked(inputs), expected, rtol=1e-4, atol=1e-5)


class Noisy(nn.Module):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs + torch.randn_like(inputs)


class Branching(nn.Module):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs if inputs.mean() > 0 else -inputs


@pytest.mark.parametrize("layer", [Noisy, Branching, lambda: nn.Dropout2d(0.5)])
def test_a_layer_that_cannot_be_mapped_says_why(layer: Callable[[], nn.Module]) -> None:
    with pytest.raises(NotStackable, match=r"Sequential fails in a stack \(.*vmap"):
        check_step(SimpleNamespace(network=stack_modules([nn.Sequential(nn.Conv1d(3, 3, 1), layer())] * 2)), torch.ones(2, 4, 3, 5))  # type: ignore[arg-type]  # fmt: skip


class Reading(nn.Module):
    """A network that reads an attribute of its layer."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.inner(inputs) / self.inner.in_features


def test_a_network_that_reads_what_a_stacked_layer_lacks_says_so() -> None:
    with pytest.raises(NotStackable, match=r"Reading fails in a stack \(.*'in_features'\)"):
        check_step(SimpleNamespace(network=stack_modules([Reading(), Reading()])), torch.ones(2, 4, 3))  # type: ignore[arg-type]  # fmt: skip


class Shrinking(nn.Module):
    """A layer that is another one in training."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs * self.scale * (0.5 if self.training else 1)


def test_a_mapped_layer_trains_on_after_a_validation() -> None:
    stacked, inputs = stack_modules([nn.Sequential(Shrinking()) for _ in range(2)]), torch.randn(2, 4, 3)
    stacked.train()
    with evaluation_mode(stacked):
        assert torch.equal(stacked(inputs), inputs)
    assert torch.equal(stacked(inputs), inputs / 2)


class Normalising(nn.Module):
    """A network whose last layer starts at 0; as a stack it would normalise over samples."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.first, self.last, self.axis = nn.Linear(3, 5), nn.Linear(5, 2), axis
        nn.init.zeros_(self.last.weight)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.last(nn.functional.normalize(self.first(inputs), dim=self.axis))


def test_a_last_layer_of_zeros_hides_no_difference() -> None:
    torch.manual_seed(0)
    for axis in (-1, 1):
        networks = [Normalising(axis) for _ in range(3)]
        learners = [SimpleNamespace(network=network, infer=network.eval()) for network in networks]
        stacked = stack_modules(networks)
        check: Callable[[], None] = partial(check_outputs, learners, SimpleNamespace(network=stacked, infer=stacked), torch.randn(3, 4, 3))  # type: ignore[arg-type]  # fmt: skip
        if axis == -1:
            check()
            continue
        with pytest.raises(NotStackable, match="Normalising has other gradients in a stack"):
            check()


@pytest.mark.parametrize("by_value", [False, True])
def test_gradients_are_clipped_as_torch_clips_those_of_each_run(by_value: bool) -> None:
    torch.manual_seed(0)
    limits, shapes = [0.5, None, 100.0, 1e-3], [(3, 2), (5,), ()]
    stacked = [nn.Parameter(torch.zeros(4, *shape)) for shape in shapes]
    for p in stacked:
        p.grad = torch.randn_like(p)
    alone = [[nn.Parameter(torch.zeros_like(p[k])) for p in stacked] for k in range(4)]
    clip: Callable[..., object] = nn.utils.clip_grad_value_ if by_value else nn.utils.clip_grad_norm_
    for own, limit, k in zip(alone, limits, range(4), strict=True):
        for p, whole in zip(own, stacked, strict=True):
            p.grad = whole.grad[k].clone()  # type: ignore[index]
        if limit is not None:
            clip(own, limit)
    algorithm = {"gradient_clip_algorithm": "Value"} if by_value else {}
    Clipping([{"gradient_clip_val": limit, **algorithm} for limit in limits], stacked).clip()
    for k, own in enumerate(alone):
        for p, whole in zip(own, stacked, strict=True):
            torch.testing.assert_close(whole.grad[k], p.grad)  # type: ignore[index]
