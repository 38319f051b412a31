"""A data set of your own: two spirals, which no straight line separates."""

from typing import Any

import torch
from torch import Tensor

from paribus import InMemory

POINTS = 1000


class Spirals(InMemory):
    """Points (x, y) of two interleaved spirals with normal noise; the class is the spiral (Lang & Witbrock, 1988)."""

    task = "classification"
    in_shape = (2,)
    out_features = 2

    def __init__(self, noise: float, **others: Any):
        super().__init__(**others)
        self.noise = noise

    def load(self, test: bool) -> tuple[Any, Any, Any]:
        """Return (inputs, targets) for training and validation, or for the test."""
        random = torch.Generator().manual_seed(0)  # the data are the same for every seed of a run
        spiral = torch.arange(POINTS) % 2
        angle = 3 * torch.pi * torch.rand(POINTS, generator=random).sqrt()
        turned = angle + torch.pi * spiral
        points = torch.stack([angle * turned.cos(), angle * turned.sin()], dim=1) / (3 * torch.pi)
        points += self.noise * torch.randn(POINTS, 2, generator=random)
        self.fingerprint = f"{POINTS} points of two spirals, noise {self.noise}"
        train, val, tested = self.choose(POINTS, POINTS // 5, POINTS // 5)  # the split follows the run's seed
        if test:
            return None, None, (points[tested], spiral[tested])
        return (points[train], spiral[train]), (points[val], spiral[val]), None

    def inputs(self, raw: Any) -> Tensor:
        """Return what the network gets for raw inputs (n, 2)."""
        return torch.as_tensor(raw, dtype=torch.float32)

    def statistics(self) -> dict[str, Any]:
        """Return what `restore` needs: nothing, since nothing is normalised."""
        return {}

    def restore(self, statistics: dict[str, Any]) -> None:
        """Do nothing: there is nothing to restore."""
