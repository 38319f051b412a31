"""Networks, and an instrument, that a user might bring."""

import torch
from torch import nn

from paribus.callbacks.instruments import Instrument, Measured


class Base(nn.Module):
    def __init__(self, in_shape, out_features, activation):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 6), nn.Linear(6, 6), nn.Linear(6, 1)
        self.act = nn.ReLU()
        self.calls = 0

    def forward(self, x):
        return self.c(self.act(self.b(self.act(self.a(x))))).squeeze(1)


class Frozen(Base):
    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.b.requires_grad_(False)


class Unused(Base):
    def forward(self, x):
        return self.c(self.act(self.a(x))).squeeze(1)


class InPlace(Base):
    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.act = nn.ReLU(inplace=True)


class Shared(Base):
    def forward(self, x):
        return self.c(self.act(self.b(self.act(self.b(self.act(self.a(x))))))).squeeze(1)


class Breaks(nn.Module):
    # passes on what it gets, but NaN while `now`
    now = False

    def forward(self, x):
        return x * torch.nan if self.now else x


class OneLayerBreaks(Base):
    when = range(3, 99)

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.breaks = Breaks()

    def forward(self, x):
        self.calls += self.training
        self.breaks.now = self.training and self.calls in self.when
        return self.c(self.act(self.breaks(self.b(self.act(self.a(x)))))).squeeze(1)


class BreaksOnce(OneLayerBreaks):
    when = (3,)


class Root(Base):
    # at 0 the square root is finite, and its derivative is not
    def forward(self, x):
        self.calls += self.training
        h = self.act(self.b(self.act(self.a(x))))
        y = self.c(h).squeeze(1)
        return y + torch.sqrt(0 * h.sum(1)) if self.training and self.calls == 2 else y


class Large(Base):
    # a finite output, whose square is beyond the type
    def forward(self, x):
        self.calls += self.training
        y = super().forward(x)
        return y * 1e25 if self.training and self.calls == 2 else y


class Largest(Instrument):
    def measure(self, epoch):
        values = torch.stack([layer.weight.abs().max() for layer in self.learner.layers])
        yield Measured("weight_largest", "weight", self.learner.layers, values)
