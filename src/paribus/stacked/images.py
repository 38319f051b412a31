"""Layers of images in a stack: (K, n, channels, height, width), the channels of all networks side by side in memory.

As one image with the channels of all K networks, channels-last, a batch is what grouped convolutions and pools take, so
that no layer copies its inputs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Modules without parameters that treat each channel by itself.
POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


def merge_channels(inputs: Tensor) -> Tensor:
    """Return inputs (K, n, features, ...) as (n, K features, ...), images channels-last; a view where it can be one."""
    merged = inputs.transpose(0, 1).flatten(1, 2)
    return merged.contiguous(memory_format=torch.channels_last) if merged.ndim == 4 else merged


def split_channels(merged: Tensor, runs: int) -> Tensor:
    """Return outputs (n, K features, ...) as a view (K, n, features, ...)."""
    return merged.unflatten(1, (runs, -1)).transpose(0, 1)


class StackedConv2d(nn.Module):
    """K convolutions as one in groups: weight (K, out, in, height, width), bias (K, out)."""

    def __init__(self, layers: Sequence[nn.Conv2d]):
        super().__init__()
        first = layers[0]
        self.kernel_size, self.stride, self.padding = first.kernel_size, first.stride, first.padding
        self.dilation, self.groups = first.dilation, first.groups
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        biases = [layer.bias.detach() for layer in layers if layer.bias is not None]
        self.bias = nn.Parameter(torch.stack(biases)) if biases else None

    def forward(self, inputs: Tensor) -> Tensor:
        runs = len(self.weight)
        bias = None if self.bias is None else self.bias.flatten()
        outputs = F.conv2d(
            merge_channels(inputs), self.weight.flatten(0, 1), bias, self.stride, self.padding, self.dilation,
            runs * self.groups,
        )  # fmt: skip
        return split_channels(outputs, runs)


class StackedPool(nn.Module):
    """A pool, which has no parameters, over the channels of K networks."""

    def __init__(self, pool: nn.Module):
        super().__init__()
        self.pool = pool

    def forward(self, inputs: Tensor) -> Tensor:
        return split_channels(self.pool(merge_channels(inputs)), len(inputs))
