"""Define fully connected networks."""

from collections.abc import Callable, Sequence
from math import prod

from torch import Tensor, nn

from paribus.models.norms import make_norm


class Residual(nn.Sequential):
    """Modules whose input is added to their output: x + f(x) (He et al. 2016). Input and output have the same shape."""

    def forward(self, input: Tensor) -> Tensor:
        return input + super().forward(input)


class MLP(nn.Sequential):
    """A multilayer perceptron: hidden layers (linear, norm, activation, dropout), then a linear layer.

    Without hidden layers it is a linear model (multinomial logistic regression for classes). Linear layers are called
    linear1, linear2, ...

    Args:
        in_shape: shape of one input, flattened to `prod(in_shape)` features.
        out_features: number of classes, or 1 for regression.
        activation: factory of activation modules, called once per hidden layer.
        hidden: units of each hidden layer; None for those of `width` and `depth`, or else `default_hidden`.
        width, depth: `depth` hidden layers of `width` units; given together or not at all.
        dropout: probability of dropping a hidden unit in training.
        norm: normalisation before the activation, a name of `make_norm`.
        skip: add the input of a hidden layer to its output, where both have the same number of units. Such a layer is
            called residual2.linear2.

    Input (n, *in_shape), output (n, out_features).
    """

    default_hidden: tuple[int, ...] = (256, 128)

    def __init__(
        self,
        in_shape: Sequence[int],
        out_features: int,
        activation: Callable[[], nn.Module],
        hidden: Sequence[int] | None = None,
        width: int | None = None,
        depth: int | None = None,
        dropout: float = 0.0,
        norm: str = "none",
        skip: bool = False,
    ):
        super().__init__()
        widths = expand_widths(width, depth)
        if hidden is not None and widths is not None and list(hidden) != widths:
            raise ValueError(f"hidden is {list(hidden)}, but width and depth say {widths}: give one of them")
        hidden = next(h for h in (hidden, widths, self.default_hidden) if h is not None)
        if any(units < 1 for units in hidden):
            raise ValueError(f"hidden is {list(hidden)}; every layer needs at least 1 unit")
        features = prod(in_shape)
        self.add_module("flatten", nn.Flatten())
        for i, units in enumerate(hidden, start=1):
            layer: nn.Sequential = self
            if skip and i > 1 and units == features:
                layer = Residual()
                self.add_module(f"residual{i}", layer)
            layer.add_module(f"linear{i}", nn.Linear(features, units))
            if (normalisation := make_norm(norm, units)) is not None:
                layer.add_module(f"norm{i}", normalisation)
            layer.add_module(f"activation{i}", activation())
            if dropout:
                layer.add_module(f"dropout{i}", nn.Dropout(dropout))
            features = units
        self.add_module(f"linear{len(hidden) + 1}", nn.Linear(features, out_features))


def expand_widths(width: int | None, depth: int | None) -> list[int] | None:
    """Return `depth` times `width`, or None if neither is given. Raises ValueError if only one is."""
    if width is None and depth is None:
        return None
    if width is None or depth is None:
        raise ValueError("width and depth are given together, or not at all")
    if width < 1 or depth < 1:
        raise ValueError(f"width is {width} and depth {depth}; both must be at least 1")
    return [width] * depth
