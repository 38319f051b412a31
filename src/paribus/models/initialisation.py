"""Initial weights."""

from typing import Literal

from torch import nn

from paribus.errors import unknown_name

SCHEMES = ("torch", "kaiming", "xavier", "orthogonal", "auto")
# The gain that keeps a signal's scale through the activation (torch.nn.init.calculate_gain); smooth relatives of ReLU
# are treated as ReLU.
_SATURATING: dict[type[nn.Module], Literal["tanh", "sigmoid"]] = {nn.Tanh: "tanh", nn.Sigmoid: "sigmoid"}


def initialise(network: nn.Module, scheme: str, activation: nn.Module) -> None:
    """Draw the weights of all linear and convolutional layers of `network` anew, in place.

    - "torch" leaves them as they are: uniform within +-1/sqrt(fan_in).
    - "kaiming": normal, variance 2/fan_in (He et al., 2015), with the slope of a leaky ReLU; 1/fan_in for SELU and
      where there is no activation.
    - "xavier": uniform, variance 2/(fan_in + fan_out) (Glorot & Bengio, 2010) times the squared gain of the activation.
    - "orthogonal" (Saxe et al., 2014), times that gain.
    - "auto": xavier for tanh and sigmoid, kaiming for all others.

    Biases become 0 except with "torch".
    """
    if scheme not in SCHEMES:
        raise unknown_name(scheme, "model.init", SCHEMES)
    if scheme == "torch":
        return
    saturating = next((name for kind, name in _SATURATING.items() if isinstance(activation, kind)), None)
    linear = isinstance(activation, nn.Identity | nn.SELU)
    slope = float(getattr(activation, "negative_slope", 0.0))
    gain = nn.init.calculate_gain("linear" if linear else saturating or "leaky_relu", slope)
    if scheme == "auto":
        scheme = "xavier" if saturating else "kaiming"
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.modules.conv._ConvNd):
            if scheme == "kaiming":
                nn.init.kaiming_normal_(layer.weight, slope, nonlinearity="linear" if linear else "leaky_relu")
            elif scheme == "xavier":
                nn.init.xavier_uniform_(layer.weight, gain)
            else:
                nn.init.orthogonal_(layer.weight, gain)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
