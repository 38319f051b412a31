"""Parts of somebody's own for the tests of losses and metrics: written into a directory that Python searches."""

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from paribus.data.module import InMemory


class Two(InMemory):
    """120 points of the plane in two classes."""

    task, in_shape, out_features, class_names = "classification", (2,), 2, ["below", "above"]

    def load(self, test: bool):
        points = torch.randn(120, 2, generator=torch.Generator().manual_seed(0))
        labels = (points[:, 1] > points[:, 0].sin()).long()
        self.fingerprint = "two"
        train, val, tested = self.choose(120, 40, 20)
        if test:
            return None, None, (points[tested], labels[tested])
        return (points[train], labels[train]), (points[val], labels[val]), None

    def inputs(self, raw):
        return torch.as_tensor(raw).float()

    def statistics(self):
        return {}

    def restore(self, statistics):
        pass


class Three(Two):
    """The same points in three classes."""

    out_features, class_names = 3, ["a", "b", "c"]

    def load(self, test: bool):
        parts = super().load(test)
        return tuple(None if part is None else (part[0], part[1] + (part[0][:, 0] > 1).long()) for part in parts)


class Plain(nn.Module):
    """Two linear layers; with `logarithms`, the logarithms of probabilities."""

    def __init__(self, in_shape, out_features, activation, logarithms: bool = False):
        super().__init__()
        self.first, self.act, self.second = nn.Linear(2, 8), activation(), nn.Linear(8, out_features)
        self.logarithms = logarithms

    def forward(self, x: Tensor) -> Tensor:
        scores = self.second(self.act(self.first(x)))
        return scores.log_softmax(-1) if self.logarithms else scores


class Focal(nn.CrossEntropyLoss):
    """A loss of samples: those that are right already count less."""

    def forward(self, output: Tensor, targets: Tensor) -> Tensor:
        losses = nn.functional.cross_entropy(output, targets, reduction="none")
        losses = (1 - (-losses).exp()) ** 2 * losses
        return losses.mean() if self.reduction == "mean" else losses


class Whole(nn.Module):
    """A loss that is no mean over samples: the root of the mean squared error."""

    def forward(self, output: Tensor, targets: Tensor) -> Tensor:
        return (output - targets).square().mean().sqrt()


class Summed(Whole):
    """A loss whose value is no mean of what it returns for each sample."""

    def __init__(self, reduction: str = "mean"):
        super().__init__()
        self.reduction = reduction

    def forward(self, output: Tensor, targets: Tensor) -> Tensor:
        losses = (output - targets).square()
        return losses if self.reduction == "none" else losses.sum()


class Broken(nn.Module):
    def forward(self, output: Tensor, targets: Tensor) -> Tensor:
        return (output @ targets.view(3, 3)).mean()


class Trained(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, output: Tensor, targets: Tensor) -> Tensor:
        return (self.weight * (output - targets)).abs().mean()


class Sure(Metric):
    """The mean probability of the likeliest class."""

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("samples", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        self.total += predictions.amax(1).sum()
        self.samples += len(targets)

    def compute(self) -> Tensor:
        return self.total / self.samples


class Vector(Sure):
    def compute(self) -> Tensor:
        return torch.stack([self.total, self.total])
