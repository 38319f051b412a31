"""Parts of somebody's own for tests of padded stacks: data whose sizes depend on the seed, an instrument, a loss."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from paribus.data.concrete import Concrete
from paribus.data.module import Part
from paribus.instruments.instrument import Instrument
from paribus.randomness import make_generator


class Uneven(Concrete):
    """Training and validation parts of some of the rows, by the seed."""

    sizes: ClassVar[dict[int, tuple[int, int]]] = {1: (300, 60), 2: (310, 80), 3: (319, 70)}

    def load(self, test: bool) -> tuple[Part | None, Part | None, Part | None]:
        train, val, tested = super().load(test)
        assert train is not None and val is not None
        n, m = self.sizes[self.seed]
        return (train[0][:n], train[1][:n]), (val[0][:m], val[1][:m]), tested


class WithAndWithoutFolds(Uneven):
    sizes: ClassVar = {1: (300, 4), 2: (310, 6), 3: (319, 7)}


class WholeBatch(Uneven):
    """One batch an epoch, of all samples."""

    def load(self, test: bool) -> tuple[Part | None, Part | None, Part | None]:
        parts = super().load(test)
        assert parts[0] is not None
        self.batch_size = len(parts[0][0])
        return parts


class Outlier(Uneven):
    """The first sample of the first epoch is far from all others."""

    def load(self, test: bool) -> tuple[Part | None, Part | None, Part | None]:
        train, val, tested = super().load(test)
        assert train is not None
        inputs = train[0].clone()
        first = torch.randperm(len(inputs), generator=make_generator(self.order_seed, "batches", 0))[0]
        inputs[first] *= 30
        return (inputs, train[1]), val, tested


class Counted(Instrument):
    """The samples of an epoch, and the mean output for the probe: of an author who knows equal sizes only."""

    in_stack = "together"

    def before_step(self, step: int, samples: Any) -> None:
        self.total = samples + (self.total if step else 0)

    def scalars(self, epoch: int) -> dict[str, Tensor]:
        outputs = self.learner.infer(self.data.get_probe(256))  # type: ignore[arg-type]
        means = outputs.flatten(self.learner.lead).mean(-1)
        return {"own/samples": torch.full_like(means, float(self.total)), "own/mean": means}


class SquaredLogarithm(nn.MSELoss):
    """A loss of positive targets."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        if bool((target <= 0).any()):
            raise ValueError("targets must be positive")
        return nn.functional.mse_loss(output, target.log(), reduction=self.reduction)
