"""Activations that torch does not have; conf/activation/ names them and torch's own."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ReLU2(nn.Module):
    """max(0, x) ** 2."""

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input).square()


class Sine(nn.Module):
    """sin(frequency * x)."""

    def __init__(self, frequency: float = 1.0):
        super().__init__()
        self.frequency = frequency

    def forward(self, input: Tensor) -> Tensor:
        return torch.sin(self.frequency * input)

    def extra_repr(self) -> str:
        return f"frequency={self.frequency}"
