"""Networks, and an instrument, that a user might bring."""

import copy
import io

import lightning
import torch
from torch import nn

from paribus import Instrument, Measured


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


class Tied(Base):
    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.d = nn.Linear(6, 6)
        self.d.weight = self.b.weight

    def forward(self, x):
        return self.c(self.act(self.d(self.act(self.b(self.act(self.a(x))))))).squeeze(1)


class NoLayers(nn.Module):
    def __init__(self, in_shape, out_features, activation):
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(8))

    def forward(self, x):
        return x @ self.slope


class Sparse(nn.Module):
    def __init__(self, in_shape, out_features, activation):
        super().__init__()
        self.table = nn.Embedding(4, 3, sparse=True)
        self.last = nn.Linear(3, 1)

    def forward(self, x):
        return self.last(self.table((x[:, 0] > 0).long())).squeeze(1)


class Normed(Base):
    """Its batch norm would count a second pass, were there one."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x):
        return super().forward(self.norm(x))


class Infinite(Base):
    """The gradient of its second step is infinite; clipping by value makes it finite."""

    def forward(self, x):
        self.calls += self.training
        if self.training and self.calls == 2:
            self.hook = self.c.bias.register_hook(lambda g: g * float("inf"))
        elif self.training and self.calls == 3:
            self.hook.remove()
        return super().forward(x)


class Reused(Base):
    """a, then b, which breaks, then a again."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.a = nn.Linear(6, 6)
        self.first = nn.Linear(8, 6)
        self.breaks = Breaks()

    def forward(self, x):
        self.calls += self.training
        self.breaks.now = self.training and self.calls >= 2
        h = self.act(self.a(self.act(self.first(x))))
        h = self.act(self.breaks(self.b(h)))
        return self.c(self.act(self.a(h))).squeeze(1)


class Copies(lightning.Callback):
    """As averaging of weights and snapshots do."""

    def on_train_batch_end(self, trainer, learner, outputs, batch, batch_idx):
        copy.deepcopy(learner.network)
        torch.save(learner.network, io.BytesIO())


class Thaws(lightning.Callback):
    def on_train_epoch_start(self, trainer, learner):
        if trainer.current_epoch == 1:
            learner.network.b.requires_grad_(True)


class UpdatesByHand(lightning.Callback):
    """The update ratio of every step, from outside."""

    found: list = []

    def on_train_batch_start(self, trainer, learner, batch, batch_idx):
        self.before = learner.network.a.weight.detach().double().clone()

    def on_train_batch_end(self, trainer, learner, outputs, batch, batch_idx):
        moved = learner.network.a.weight.detach().double() - self.before
        self.found.append((len(batch[1]), float(moved.norm() / self.before.norm())))


class Wrong(Instrument):
    name, tensor, more = "x", "weight", 0

    def measure(self, epoch):
        if epoch:
            yield Measured(
                self.name, self.tensor, self.learner.layers, torch.ones(len(self.learner.layers) + self.more)
            )


class TooMany(Wrong):
    more = 1


class Misspelt(Wrong):
    tensor = "wieght"


class Twice(Wrong):
    name = "weight_norm"


class Nothing(Instrument):
    def measure(self, epoch):
        return None if epoch else ()


class Raises(Instrument):
    def measure(self, epoch):
        if epoch:
            raise RuntimeError("boom")
        return ()
