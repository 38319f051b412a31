"""Fully connected networks."""

from collections.abc import Callable, Sequence
from math import prod

from torch import nn

from paribus.errors import unknown_name

NORMS = ("none", "batch")


class MLP(nn.Sequential):
    """A multilayer perceptron: flatten, `hidden` layers, each linear, norm, activation, dropout, then a linear layer.

    With no hidden layers it is linear (for classes: multinomial logistic regression); with one, of `n` units, it is a
    universal approximator for large n; more make it deeper. Linear layers are called linear1, linear2, ...

    Args:
        in_shape: shape of one input, flattened to `prod(in_shape)` features.
        out_features: classes, or 1 for regression.
        activation: makes an activation module; called once for each hidden layer.
        hidden: units of each hidden layer. None: what `width` and `depth` say, or else `default_hidden`.
        width, depth: given together, `depth` hidden layers of `width` units.
        dropout: share of units set to zero while training.
        norm: "none", or "batch" for batch normalisation before the activation.

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
    ):
        super().__init__()
        if norm not in NORMS:
            raise unknown_name(norm, "model.norm", NORMS)
        widths = expand_widths(width, depth)
        if hidden is not None and widths is not None and list(hidden) != widths:
            raise ValueError(f"hidden is {list(hidden)}, but width and depth say {widths}: give one of them")
        hidden = next(h for h in (hidden, widths, self.default_hidden) if h is not None)
        if any(units < 1 for units in hidden):
            raise ValueError(f"hidden is {list(hidden)}; every layer needs at least 1 unit")
        features = prod(in_shape)
        self.add_module("flatten", nn.Flatten())
        for i, units in enumerate(hidden, start=1):
            self.add_module(f"linear{i}", nn.Linear(features, units))
            if norm == "batch":
                self.add_module(f"norm{i}", nn.BatchNorm1d(units))
            self.add_module(f"activation{i}", activation())
            if dropout:
                self.add_module(f"dropout{i}", nn.Dropout(dropout))
            features = units
        self.add_module(f"linear{len(hidden) + 1}", nn.Linear(features, out_features))


def expand_widths(width: int | None, depth: int | None) -> list[int] | None:
    """`depth` layers of `width` units; None where neither is given. ValueError where only one is."""
    if width is None and depth is None:
        return None
    if width is None or depth is None:
        raise ValueError("width and depth are given together, or not at all")
    if width < 1 or depth < 1:
        raise ValueError(f"width is {width} and depth {depth}; both must be at least 1")
    return [width] * depth
