"""Define a small VGG (Simonyan & Zisserman, 2015): six layers before the classifier."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from paribus.errors import UserError
from paribus.models.norms import make_norm

CHANNELS = (64, 64, "pool", 128, 128, "pool", 256, "pool")
UNITS = 512


class VGG6(nn.Sequential):
    """Five 3x3 convolutions (64, 64, pool, 128, 128, pool, 256, pool), a linear layer of 512, dropout, the classifier.

    Layers are called conv1 to conv5, linear1 and linear2. Weights and inputs are channels-last, the faster format.

    Args:
        in_shape: (channels, height, width), height and width 8 or more.
        out_features: number of classes.
        activation: factory of activation modules, called once per hidden layer.
        width_multiplier: factor of the channels and units of the hidden layers (rounded, at least 1).
        dropout: probability of dropping a unit of the last hidden layer in training.
        norm: normalisation before each activation, a name of `make_norm`.

    Input (n, *in_shape), output (n, out_features).
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_features: int,
        activation: Callable[[], nn.Module],
        width_multiplier: float = 1.0,
        dropout: float = 0.5,
        norm: str = "none",
    ):
        super().__init__()
        if len(in_shape) != 3 or min(in_shape[1:]) < 8:
            raise UserError(f"VGG6 takes images of 8 x 8 pixels or more, not inputs of shape {tuple(in_shape)}. "
                            "Choose another model, or larger images (data=cifar10; data.size=32).")  # fmt: skip

        if not width_multiplier > 0:
            raise ValueError(f"width_multiplier is {width_multiplier}; it must be above 0")

        def scale(width: int) -> int:
            return max(1, round(width * width_multiplier))

        channels, height, width = in_shape
        conv = pool = 0
        for layer in CHANNELS:
            if layer == "pool":
                pool += 1
                self.add_module(f"pool{pool}", nn.MaxPool2d(2))
                height, width = height // 2, width // 2
                continue
            conv += 1
            out = scale(int(layer))
            self.add_module(f"conv{conv}", nn.Conv2d(channels, out, 3, padding=1))
            if (normalisation := make_norm(norm, out, images=True)) is not None:
                self.add_module(f"norm{conv}", normalisation)
            self.add_module(f"activation{conv}", activation())
            channels = out
        units = scale(UNITS)
        self.add_module("flatten", nn.Flatten())
        self.add_module("linear1", nn.Linear(channels * height * width, units))
        if (normalisation := make_norm(norm, units)) is not None:
            self.add_module(f"norm{conv + 1}", normalisation)
        self.add_module(f"activation{conv + 1}", activation())
        if dropout:
            self.add_module("dropout", nn.Dropout(dropout))
        self.add_module("linear2", nn.Linear(units, out_features))
        self.to(memory_format=torch.channels_last)

    def forward(self, input: Tensor) -> Tensor:
        # a stack of networks has a first axis of networks, and a layout of its own
        return super().forward(input if input.ndim == 5 else input.contiguous(memory_format=torch.channels_last))
