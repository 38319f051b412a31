"""A network of your own: layers that each add to what they get."""

from collections.abc import Callable

from torch import Tensor, nn


class Residual(nn.Module):
    """x <- x + W activation(x), `depth` times, between two linear layers; input (n, ...), output (n, classes).

    Args:
        in_shape, out_features, activation: given by Paribus: shape of an input, number of classes, and the class that
            `activation=` names.
        width, depth: keys of the YAML.
    """

    def __init__(
        self, in_shape: tuple[int, ...], out_features: int, activation: Callable[[], nn.Module], width: int, depth: int
    ):
        super().__init__()
        inputs = 1
        for size in in_shape:
            inputs *= size
        self.first = nn.Sequential(nn.Flatten(), nn.Linear(inputs, width))
        self.blocks = nn.ModuleList(nn.Sequential(activation(), nn.Linear(width, width)) for _ in range(depth))
        self.last = nn.Linear(width, out_features)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.last(x)
