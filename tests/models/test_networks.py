from collections.abc import Callable

import pytest
import torch
from torch import nn

from paribus.errors import UserError
from paribus.models import layers
from paribus.models.initialisation import SCHEMES, initialise
from paribus.models.mlp import MLP
from paribus.models.regression import RegressionNet
from paribus.models.vgg6 import VGG6


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("hidden", "parameters"), [
    ([128, 64], 9_473), ([128, 64, 64], 13_633), ([128, 128, 128], 34_305), ([128, 128, 128, 128], 50_817),
    ([64, 64, 32], 6_849), ([32], 8 * 32 + 32 + 33), ([], 9),
])  # fmt: skip
def test_regression_nets_have_the_reports_sizes(hidden: list[int], parameters: int) -> None:
    assert count(RegressionNet((8,), 1, nn.ReLU, hidden)) == parameters


def test_default_sizes() -> None:
    assert count(MLP((1, 28, 28), 10, nn.ReLU)) == 235_146
    assert count(RegressionNet((8,), 1, nn.ReLU)) == 9_473
    assert count(VGG6((3, 32, 32), 10, nn.ReLU)) == 2_658_122


def test_an_mlp_is_what_it_says() -> None:
    network = MLP((2, 3), 4, nn.Tanh, [5])
    x = torch.randn(7, 2, 3)
    w1, b1, w2, b2 = network.parameters()
    assert torch.allclose(network(x), torch.tanh(x.flatten(1) @ w1.T + b1) @ w2.T + b2, atol=1e-6)


def test_a_skip_adds_the_input_of_a_layer_where_the_units_are_equal() -> None:
    network = MLP((3,), 2, nn.Tanh, [4, 4, 5, 5], skip=True, norm="layer")
    own = dict(network.named_parameters())
    paths = [name.removesuffix(".weight") for name in own if "linear" in name and name.endswith("weight")]
    weights = {path: (own[f"{path}.weight"], own[f"{path}.bias"]) for path in paths}
    assert list(weights) == ["linear1", "residual2.linear2", "linear3", "residual4.linear4", "linear5"]
    h = x = torch.randn(6, 3)
    for i, (weight, bias) in enumerate(weights.values(), start=1):
        y = h @ weight.T + bias
        if i < 5:  # a layer norm with its initial weights and biases
            y = torch.tanh((y - y.mean(1, keepdim=True)) / (y.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt())
        h = h + y if i in (2, 4) else y
    assert torch.allclose(network(x), h, atol=1e-6)


def test_width_and_depth_are_as_many_layers() -> None:
    deep = RegressionNet((8,), 1, nn.ReLU, width=32, depth=128)
    assert count(deep) == 8 * 32 + 32 + 127 * (32 * 32 + 32) + 33
    assert [name for name, m in deep.named_children() if isinstance(m, nn.Linear)] == [
        f"linear{i}" for i in range(1, 130)
    ]


@pytest.mark.parametrize("arguments", [{"width": 3}, {"depth": 3}, {"hidden": [4], "width": 3, "depth": 1}])
def test_half_or_twice_said_is_refused(arguments: dict) -> None:
    with pytest.raises(ValueError, match="width"):
        MLP((8,), 1, nn.ReLU, **arguments)


def test_regression_output_has_one_axis() -> None:
    assert RegressionNet((8,), 1, nn.ReLU)(torch.zeros(5, 8)).shape == (5,)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (1, 8, 9)])
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_vgg6_takes_images_of_any_size(shape: tuple[int, ...], norm: str) -> None:
    assert VGG6(shape, 7, nn.GELU, norm=norm, width_multiplier=0.1)(torch.randn(2, *shape)).shape == (2, 7)


def test_vgg6_is_a_plain_stack_of_layers() -> None:
    network = VGG6((3, 32, 32), 10, nn.ReLU, width_multiplier=0.25).eval()
    x = torch.randn(2, 3, 32, 32)
    f = nn.functional
    conv = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    linear = [m for m in network.modules() if isinstance(m, nn.Linear)]
    assert [m.out_channels for m in conv] == [16, 16, 32, 32, 64]
    y = f.max_pool2d(conv[1](conv[0](x).relu()).relu(), 2)
    y = f.max_pool2d(conv[3](conv[2](y).relu()).relu(), 2)
    y = f.max_pool2d(conv[4](y).relu(), 2)
    y = linear[1](linear[0](y.flatten(1)).relu())
    assert torch.allclose(network(x), y, atol=1e-5)
    assert count(VGG6((3, 32, 32), 10, nn.ReLU, width_multiplier=0.25)) == count(network)


def test_a_width_multiplier_is_above_zero() -> None:
    with pytest.raises(ValueError, match="width_multiplier is -1"):
        VGG6((3, 32, 32), 10, nn.ReLU, width_multiplier=-1)


def test_vgg6_refuses_what_is_no_image() -> None:
    with pytest.raises(UserError, match="8 x 8"):
        VGG6((8,), 1, nn.ReLU)


@pytest.mark.parametrize(
    "make", [lambda n: MLP((8,), 1, nn.ReLU, norm=n), lambda n: VGG6((3, 8, 8), 1, nn.ReLU, norm=n)]
)
def test_an_unknown_norm_is_refused(make: Callable[[str], nn.Module]) -> None:
    with pytest.raises(UserError, match="Did you mean 'batch'"):
        make("bacth")


def test_dropout_and_norm_are_where_they_belong() -> None:
    kinds = [type(m).__name__ for m in MLP((8,), 2, nn.ReLU, [4, 3], dropout=0.2, norm="batch")]
    block = ["Linear", "BatchNorm1d", "ReLU", "Dropout"]
    assert kinds == ["Flatten", *block, *block, "Linear"]
    assert "Dropout" not in [type(m).__name__ for m in VGG6((3, 8, 8), 2, nn.ReLU, dropout=0.0)]


# --- initial weights: the moments that each formula promises, for a layer of 400 inputs and 600 outputs

FAN_IN, FAN_OUT = 400, 600


@pytest.mark.parametrize(("scheme", "activation", "variance"), [
    ("torch", nn.ReLU(), 1 / (3 * FAN_IN)),
    ("kaiming", nn.ReLU(), 2 / FAN_IN),
    ("kaiming", nn.LeakyReLU(0.5), 2 / 1.25 / FAN_IN),
    ("xavier", nn.ReLU(), 2 * 2 / (FAN_IN + FAN_OUT)),
    ("xavier", nn.Tanh(), (5 / 3) ** 2 * 2 / (FAN_IN + FAN_OUT)),
    ("xavier", nn.Sigmoid(), 2 / (FAN_IN + FAN_OUT)),
    ("auto", nn.GELU(), 2 / FAN_IN),
    ("auto", nn.SELU(), 1 / FAN_IN),
    ("auto", nn.Identity(), 1 / FAN_IN),
    ("auto", nn.Tanh(), (5 / 3) ** 2 * 2 / (FAN_IN + FAN_OUT)),
])  # fmt: skip
def test_initial_weights_have_the_variance_of_their_formula(
    scheme: str, activation: nn.Module, variance: float
) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(FAN_IN, FAN_OUT), activation)
    initialise(network, scheme, activation)
    weight, bias = network[0].weight, network[0].bias
    assert float(weight.mean().detach()) == pytest.approx(0, abs=5 * (variance / weight.numel()) ** 0.5)
    assert float(weight.var().detach()) == pytest.approx(variance, rel=0.02)
    assert bool((bias == 0).all()) == (scheme != "torch")


def test_orthogonal_weights_keep_lengths_times_the_gain() -> None:
    network = nn.Linear(50, 80)
    initialise(network, "orthogonal", nn.ReLU())
    x = torch.randn(10, 50)
    assert torch.allclose(network(x).norm(dim=1), 2**0.5 * x.norm(dim=1), rtol=1e-4)


def test_convolutions_are_drawn_too_and_an_unknown_scheme_is_refused() -> None:
    network = nn.Conv2d(16, 64, 3)
    initialise(network, "auto", nn.ReLU())
    assert float(network.weight.var().detach()) == pytest.approx(2 / (16 * 9), rel=0.1)
    with pytest.raises(UserError, match="Did you mean 'kaiming'"):
        initialise(network, "kaimin", nn.ReLU())


def test_dirac_filters_pass_their_channels_on_and_the_others_are_torchs() -> None:
    torch.manual_seed(3)
    network, few = nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(4, 2, 3, padding=1)
    drawn = network.weight.detach().clone()
    for layer in (network, few):
        initialise(layer, "dirac", nn.ReLU())
    images = torch.randn(2, 4, 5, 5)
    assert torch.equal(network(images)[:, :4], images)
    assert torch.equal(few(images), images[:, :2])
    assert torch.equal(network.weight[4:], drawn[4:])
    with pytest.raises(UserError, match="dirac is for convolutions, and MLP has none"):
        initialise(MLP((8,), 1, nn.ReLU), "dirac", nn.ReLU())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_initialisation_follows_torchs_seed(scheme: str) -> None:
    def draw() -> torch.Tensor:
        torch.manual_seed(3)
        network = nn.Conv1d(4, 8, 1)
        initialise(network, scheme, nn.ReLU())
        return network.weight.detach()

    assert torch.equal(draw(), draw())


# --- the layers of a network


class Branching(nn.Module):
    """Used in another order than defined, one module twice, one never."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 2)
        self.never = nn.Linear(9, 9)
        self.shared = nn.Linear(4, 4)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.drop(self.shared(self.shared(x))))


def test_layers_come_in_the_order_of_their_use() -> None:
    network = Branching()
    network.drop.eval()
    state = torch.random.get_rng_state()
    output, calls = layers.trace_calls(network, torch.ones(3, 4))
    assert torch.equal(state, torch.random.get_rng_state())
    assert [x.path for x in calls] == ["shared", "shared", "drop", "last"]
    assert [(x.output_shape, x.parameters) for x in calls] == [((4,), 20), ((4,), 20), ((4,), 0), ((2,), 10)]
    assert [line.split()[0] for line in layers.format_table(calls, 120).splitlines()] == [
        "layer", "shared", "drop", "last", "elsewhere", "total"
    ]  # fmt: skip
    assert torch.equal(output, network.last(network.shared(network.shared(torch.ones(3, 4)))))
    assert (network.training, network.shared.training, network.drop.training) == (True, True, False)
    assert not any(m._forward_hooks for m in network.modules())


def test_the_table_of_layers_adds_up() -> None:
    _, calls = layers.trace_calls(MLP((1, 28, 28), 10, nn.ReLU), torch.zeros(1, 1, 28, 28))
    lines = layers.format_table(calls, 235_146).splitlines()
    assert lines[2].split() == ["linear1", "Linear", "256", "200,960"]
    assert lines[-1].split() == ["total", "235,146"]
    assert len({len(line) for line in lines}) == 1
    assert "elsewhere" not in layers.format_table(calls, 235_146)


def test_parameters_outside_of_any_layer_are_counted() -> None:
    network = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    _, calls = layers.trace_calls(network, torch.zeros(1, 3, 4))
    last = [line.split() for line in layers.format_table(calls, count(network)).splitlines()[-2:]]
    assert last[0] == ["elsewhere", str(count(network) - sum(x.parameters for x in calls))]
    assert last[1] == ["total", str(count(network))]
