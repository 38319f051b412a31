"""Networks that predict a number."""

from typing import Any

from torch import nn

from paribus.models.mlp import MLP


class RegressionNet(MLP):
    """An MLP with one output, 128 and 64 hidden units unless told otherwise. Arguments as MLP's.

    Input (n, *in_shape), output (n,).
    """

    default_hidden = (128, 64)

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.add_module("scalar", nn.Flatten(start_dim=0))
