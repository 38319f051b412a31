"""Initialise the weights of networks."""

from typing import Literal

from torch import nn

from paribus.errors import UserError, unknown_name
from paribus.models.layers import CONVOLUTIONS, TRANSPOSED

SCHEMES = ("torch", "kaiming", "xavier", "orthogonal", "dirac", "auto")
# Activations with a gain of their own in torch.nn.init.calculate_gain; smooth variants of ReLU count as ReLU.
_SATURATING: dict[type[nn.Module], Literal["tanh", "sigmoid"]] = {nn.Tanh: "tanh", nn.Sigmoid: "sigmoid"}


def initialise(network: nn.Module, scheme: str, activation: nn.Module) -> None:
    """Redraw the weights of all linear and convolutional layers of `network`, in place; set biases to 0.

    Schemes:
        torch: keep torch's weights and biases, uniform within +-1/sqrt(fan_in).
        kaiming: normal, variance 2 / ((1 + slope^2) fan_in) for the slope of a leaky ReLU (He et al., 2015); 1/fan_in
            for SELU and the identity.
        xavier: uniform, variance 2 gain^2 / (fan_in + fan_out) with the activation's gain (Glorot & Bengio, 2010).
        orthogonal: a random orthogonal matrix times that gain (Saxe et al., 2014).
        dirac: torch's weights, but the first filters of a convolution, one for each input channel, each pass their
            channel on unchanged (Jordan, 2024, arXiv:2404.00498). Where filters are fewer, all of them do.
        auto: xavier for tanh and sigmoid, kaiming for all others.

    Raises UserError for any other scheme, and for dirac without a convolution of one group that is not transposed.
    """
    if scheme not in SCHEMES:
        raise unknown_name(scheme, "model.init", SCHEMES)
    if scheme == "torch":
        return
    saturating = next((name for kind, name in _SATURATING.items() if isinstance(activation, kind)), None)
    linear = isinstance(activation, nn.Identity | nn.SELU)
    slope = float(activation.init if isinstance(activation, nn.PReLU) else getattr(activation, "negative_slope", 0.0))
    gain = nn.init.calculate_gain("linear" if linear else saturating or "leaky_relu", slope)
    if scheme == "auto":
        scheme = "xavier" if saturating else "kaiming"
    layers = [layer for layer in network.modules() if isinstance(layer, (nn.Linear, *CONVOLUTIONS))]
    plain = [layer for layer in layers if not isinstance(layer, (nn.Linear, *TRANSPOSED)) and layer.groups == 1]
    if scheme == "dirac" and not plain:
        raise UserError(f"model.init=dirac is for convolutions, and {type(network).__name__} has none that takes it. "
                        "Choose another, such as model.init=auto.")  # fmt: skip
    for layer in layers:
        if scheme == "kaiming":
            nn.init.kaiming_normal_(layer.weight, slope, nonlinearity="linear" if linear else "leaky_relu")
        elif scheme == "xavier":
            nn.init.xavier_uniform_(layer.weight, gain)
        elif scheme == "orthogonal":
            nn.init.orthogonal_(layer.weight, gain)
        elif layer in plain:  # dirac
            nn.init.dirac_(layer.weight[: layer.in_channels])
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
