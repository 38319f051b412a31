"""The activation functions as they are drawn, against torch."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from multirun_analysis.figures.activations import ACTIVATIONS, functions

CONF = Path(__file__).parents[2] / "conf" / "activation"
X = np.concatenate([np.linspace(-30, 30, 997), [0.0, 1e-9, -1e-9]])


def test_every_option_of_the_configuration_is_known() -> None:
    assert {path.stem for path in CONF.glob("*.yaml")} == set(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_functions_and_derivatives_are_torchs(name: str) -> None:
    module = instantiate(OmegaConf.load(CONF / f"{name}.yaml")).double()
    x = torch.tensor(X, dtype=torch.float64, requires_grad=True)
    y = module(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    function, derivative = ACTIVATIONS[name]
    assert function(X) == pytest.approx(y.detach().numpy(), abs=1e-7)  # torch's softplus is linear beyond 20
    assert derivative(X) == pytest.approx(slope.numpy(), abs=1e-7)


def test_the_known_ones_are_drawn_and_the_others_named() -> None:
    figure = functions(["relu", "my_$act$", "tanh", "relu"])
    assert figure is not None
    left, right = figure.axes
    for axes, which in ((left, 0), (right, 1)):
        drawn = [line for line in axes.lines if not line.get_label().startswith("_")]
        assert [line.get_label() for line in drawn] == ["relu", "tanh"]
        assert drawn[1].get_ydata() == pytest.approx(ACTIVATIONS["tanh"][which](drawn[1].get_xdata()))
        assert len({line.get_color() for line in drawn}) == len({line.get_linestyle() for line in drawn}) == 2
    assert r"my_\$act\$" in figure.get_supxlabel() and "relu" not in figure.get_supxlabel()
    figure.savefig(io.BytesIO())


def test_without_a_known_one_there_is_no_statistic() -> None:
    assert functions(["mine"]) is None
    assert functions([]) is None
