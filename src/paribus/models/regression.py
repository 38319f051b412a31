"""Define networks for regression."""

from torch import Tensor

from paribus.models.mlp import MLP


class RegressionNet(MLP):
    """An MLP with one output, by default with 128 and 64 hidden units. Arguments as MLP's, out_features 1.

    Input (n, *in_shape), output (n,).
    """

    default_hidden = (128, 64)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).squeeze(-1)
