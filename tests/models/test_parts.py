"""Norms and activations of our own, against numpy; networks with each norm have the same weight layers."""

import numpy as np
import pytest
import torch
from torch import nn

from paribus.errors import UserError
from paribus.models.activations import ReLU2, Sine
from paribus.models.initialisation import initialise
from paribus.models.layers import find_weight_layers, trace_calls
from paribus.models.mlp import MLP
from paribus.models.norms import NORMS, make_norm
from paribus.models.vgg6 import VGG6


def normalised(x: np.ndarray, axes: tuple[int, ...], centred: bool = True, eps: float = 1e-5) -> np.ndarray:
    x = x - x.mean(axes, keepdims=True) if centred else x
    return x / np.sqrt((x**2).mean(axes, keepdims=True) + eps)


@pytest.mark.parametrize("images", [False, True])
@pytest.mark.parametrize("name", ["batch", "layer", "rms", "group"])
def test_a_norm_is_what_its_paper_says(name: str, images: bool) -> None:
    torch.manual_seed(0)
    x = 3 * torch.randn(5, 64, *((4, 3) if images else ())) + 2
    norm = make_norm(name, 64, images)
    assert norm is not None
    with torch.no_grad():
        weights = dict(norm.named_parameters())
        weights["weight"].uniform_(0.5, 2)
        scale = weights["weight"].numpy().reshape(64, *(1,) * (x.ndim - 2))
        shift = np.zeros_like(scale)
        if "bias" in weights:
            shift = weights["bias"].uniform_(-1, 1).numpy().reshape(scale.shape)
        found = norm(x).numpy()
    v = x.numpy().astype(np.float64)
    if name == "group":
        expected = normalised(v.reshape(5, 32, -1), (2,)).reshape(v.shape)
    elif name == "rms":
        expected = normalised(v, (1,), centred=False, eps=np.finfo(np.float32).eps)
    else:
        expected = normalised(v, (1,) if name == "layer" else (0, *range(2, v.ndim)))
    np.testing.assert_allclose(found, expected * scale + shift, atol=1e-4)
    assert found.shape == tuple(x.shape)


def test_groups_divide_any_number_of_features() -> None:
    assert [make_norm("group", n).num_groups for n in (256, 48, 12, 9)] == [32, 16, 4, 1]  # type: ignore[union-attr]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("activation", [nn.PReLU, ReLU2, nn.ReLU])
def test_weight_layers_and_their_activations_are_found(norm: str, activation: type[nn.Module]) -> None:
    for network, shape, depth in (
        (MLP((6,), 3, activation, hidden=[8, 4], norm=norm), (6,), 3),
        (VGG6((3, 8, 8), 10, activation, width_multiplier=0.125, norm=norm), (3, 8, 8), 7),
    ):
        _, calls = trace_calls(network, torch.randn(2, *shape))
        layers = find_weight_layers(network, calls)
        assert [layer.path for layer in layers] == [
            n for n, m in network.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)
        ]
        assert [type(layer.activation) for layer in layers] == [activation] * (depth - 1) + [type(None)]


def test_an_unknown_norm_is_refused() -> None:
    with pytest.raises(UserError, match=r"There is no 'instance' in model\.norm"):
        MLP((6,), 3, nn.ReLU, norm="instance")


def test_activations() -> None:
    x = torch.tensor([-2.0, -0.5, 0.0, 0.5, 3.0])
    assert ReLU2()(x).tolist() == [0, 0, 0, 0.25, 9]
    np.testing.assert_allclose(Sine(2.0)(x).numpy(), np.sin(2 * x.numpy()), rtol=1e-6)


def test_kaiming_takes_the_slope_that_prelu_starts_with() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(500, 400))
    initialise(network, "kaiming", nn.PReLU(init=0.5))
    assert float(network[0].weight.detach().var()) == pytest.approx(2 / (1.25 * 500), rel=0.02)
