"""Which layers a network has, in which order, and what comes out of them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paribus.models.layers import WeightLayer, evaluation_mode, find_weight_layers, trace_calls, watch_activations
from paribus.models.mlp import MLP
from paribus.models.regression import RegressionNet
from paribus.models.vgg6 import VGG6


def found(network: nn.Module, *shape: int) -> list[WeightLayer]:
    return find_weight_layers(network, trace_calls(network, torch.randn(2, *shape))[1])


def seen(network: nn.Module, inputs: Tensor) -> list[tuple[str, Tensor]]:
    outputs: list[tuple[str, Tensor]] = []
    layers = find_weight_layers(network, trace_calls(network, inputs)[1])
    handles = watch_activations(layers, lambda layer, output: outputs.append((layer.path, output.detach().clone())))
    with evaluation_mode(network):
        network(inputs)
    for handle in handles:
        handle.remove()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    return outputs


@pytest.mark.parametrize(
    ("network", "shape", "paths"),
    [
        (MLP((1, 4, 4), 3, nn.ReLU, [5, 4], norm="batch", dropout=0.1), (1, 4, 4), ["linear1", "linear2", "linear3"]),
        (
            VGG6((3, 8, 8), 3, nn.GELU, 0.05, norm="batch"),
            (3, 8, 8),
            [*(f"conv{i}" for i in range(1, 6)), "linear1", "linear2"],
        ),
        (RegressionNet((8,), 1, nn.Tanh, width=3, depth=128), (8,), [f"linear{i}" for i in range(1, 130)]),
    ],
)
def test_layers_of_our_networks_come_in_order_of_depth(network: nn.Module, shape: tuple, paths: list[str]) -> None:
    layers = found(network, *shape)
    assert [layer.path for layer in layers] == paths
    assert [layer.depth for layer in layers] == list(range(len(paths)))
    assert sorted(layer.label for layer in layers) == [layer.label for layer in layers]
    assert all(layer.activation is not None for layer in layers[:-1])
    assert layers[-1].activation is None
    assert [layer.weight for layer in layers] == [network.get_submodule(path).weight for path in paths]


def test_activations_come_after_norm_and_activation_whatever_stands_between() -> None:
    network = VGG6((3, 8, 8), 3, nn.SiLU, 0.05, norm="batch").eval()
    x = torch.randn(4, 3, 8, 8)
    expected, y = {}, x
    name = ""
    for path, module in network.named_children():
        y = module(y)
        if path.startswith(("conv", "linear")):
            name = path
        if path.startswith(("conv", "linear", "activation")):
            expected[name] = y
    outputs = seen(network, x)
    assert [path for path, _ in outputs] == list(expected)
    for path, output in outputs:
        assert torch.allclose(output, expected[path], atol=1e-6), path


class Odd(nn.Module):
    """Defined in another order than used; a shared layer, one activation for all, one in place, one that nobody uses."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 2)
        self.never = nn.Linear(9, 9)
        self.shared = nn.Linear(4, 4, bias=False)
        self.first = nn.Conv1d(1, 1, 1)
        self.act = nn.ReLU(inplace=True)
        self.norm = nn.LayerNorm((1, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.first(x.unsqueeze(1)))).squeeze(1)
        x = self.act(self.shared(x))
        x = self.act(self.shared(x)) * 2
        return self.last(x)


def test_odd_networks() -> None:
    network = Odd()
    layers = found(network, 4)
    assert [layer.path for layer in layers] == ["first", "shared", "last", "never"]
    assert [layer.bias is None for layer in layers] == [False, True, False, False]
    assert [layer.unit_axis for layer in layers] == [1, -1, -1, -1]
    x = torch.randn(3, 4)
    outputs = seen(network, x)
    assert [path for path, _ in outputs] == ["first", "shared", "shared", "last"]
    a = F.relu(network.norm(network.first(x.unsqueeze(1)))).squeeze(1)
    b = F.relu(a @ network.shared.weight.T)
    c = F.relu(b @ network.shared.weight.T)
    for (_, output), expected in zip(outputs, (a.unsqueeze(1), b, c, network.last(c * 2)), strict=True):
        assert torch.allclose(output, expected, atol=1e-6)


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.relu(self.a(x)))


def test_a_functional_activation_leaves_the_layers_own_output() -> None:
    network, x = Functional(), torch.randn(5, 3)
    assert torch.equal(seen(network, x)[0][1], network.a(x))


class Square(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x


def test_a_users_own_activation_counts_as_one() -> None:
    network, x = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), Square(), nn.Linear(4, 1)), torch.randn(5, 3)
    assert torch.equal(seen(network, x)[0][1], network[0](x) ** 2)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mha = nn.MultiheadAttention(4, 2, batch_first=True)
        self.out = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.mha(x, x, x)[0])


def test_attention_and_recurrence_have_their_weights_named() -> None:
    layers = found(Attention(), 3, 4)
    assert [layer.path for layer in layers] == ["mha.in_proj_weight", "mha.out_proj", "out"]
    assert all(layer.bias is not None for layer in layers)
    recurrent = found(nn.GRU(3, 5, batch_first=True), 4, 3)
    assert [layer.path for layer in recurrent] == ["weight_ih_l0", "weight_hh_l0"]
    assert [layer.bias is not None for layer in recurrent] == [True, True]


def test_a_parameter_of_two_modules_belongs_to_the_first() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    network[2].weight = network[0].weight
    assert [layer.path for layer in found(network, 3)] == ["0"]


@pytest.mark.parametrize(
    ("module", "fan_in"),
    [(nn.Linear(7, 5), 7), (nn.Conv2d(6, 4, 3), 54), (nn.Conv2d(6, 4, (3, 5), groups=2), 45)],
)
def test_fan_in_is_what_bounds_torchs_default_weights(module: nn.Module, fan_in: int) -> None:
    layer = WeightLayer("x", 0, "0_x", module, module.weight, None, None)  # type: ignore[arg-type]
    assert layer.fan_in == fan_in
    torch.manual_seed(0)
    largest = max(float(type(module).reset_parameters(module) or module.weight.detach().abs().max()) for _ in range(20))
    assert largest == pytest.approx(fan_in**-0.5, rel=0.02)
    assert largest <= fan_in**-0.5


@pytest.mark.parametrize("make", [nn.Identity, lambda: nn.Sequential(nn.Flatten(), nn.ReLU())])
def test_a_network_without_weights_has_no_layers(make: Callable[[], nn.Module]) -> None:
    assert found(make(), 3) == []


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.act = nn.Linear(3, 4), nn.Linear(3, 4), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        q, k = self.q(x), self.k(x)
        return self.act(q) + self.act(k)


def test_activations_of_branches_belong_to_their_own_layers() -> None:
    network, x = Branches(), torch.randn(5, 3)
    outputs = dict(seen(network, x))
    assert torch.equal(outputs["q"], network.q(x).relu())
    assert torch.equal(outputs["k"], network.k(x).relu())


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.act = nn.Linear(3, 3), nn.Linear(3, 3), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.b(self.act(self.a(x))) + x)


def test_a_sum_before_the_activation_is_not_the_layers() -> None:
    network, x = Residual(), torch.randn(5, 3)
    outputs = dict(seen(network, x))
    assert torch.equal(outputs["a"], network.a(x).relu())
    assert torch.equal(outputs["b"], network.b(network.a(x).relu()))


class OwnNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / (1 + x.abs().mean(1, keepdim=True))


def test_torchs_activation_counts_before_a_users_module() -> None:
    network, x = nn.Sequential(nn.Linear(3, 4), OwnNorm(), nn.ReLU(), nn.Linear(4, 1)), torch.randn(5, 3)
    assert torch.equal(seen(network, x)[0][1], network[1](network[0](x)).relu())


@pytest.mark.parametrize("bias", [True, False])
def test_a_parametrised_weight_is_one_layer_with_its_bias_and_output(bias: bool) -> None:
    first = nn.utils.parametrizations.weight_norm(nn.Linear(3, 4, bias=bias))
    network, x = nn.Sequential(first, nn.Tanh(), nn.Linear(4, 1)), torch.randn(5, 3)
    layers = found(network, 3)
    assert [(layer.path, tuple(layer.weight.shape), layer.bias is not None) for layer in layers] == [
        ("0", (4, 3), bias),
        ("2", (1, 4), True),
    ]
    assert torch.equal(seen(network, x)[0][1], network[0](x).tanh())
