"""Cut the batches of a stack out of the training parts of its runs."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from paribus.data.module import InMemory
from paribus.stacked.sizes import Sizes, count_samples, stack_padded

PIECE_BYTES = 2**24  # of inputs that are gathered at once: small beside the data, large beside a call


class StackedBatches:
    """The training batches of K runs, each from its own training part in its own order.

    Inputs are gathered for several batches at a time. An epoch at once would be a second copy of all training parts; a
    batch at once, K calls a step.

    Args:
        modules: the data of the runs, whose training parts have the same number of batches.

    Attributes:
        sizes: the numbers of samples of an epoch; steps: the number of its batches.
        targets: of the epoch that was begun last, in its order, (K, samples, ...).
    """

    def __init__(self, modules: Sequence[InMemory]):
        first = modules[0]
        assert first.train is not None
        inputs, targets = first.train
        self._modules = modules
        self._batch_size = first.batch_size
        self.sizes = count_samples([module.train[0] for module in modules if module.train is not None])
        starts = range(0, self.sizes.most, self._batch_size)
        self._batches = [(start, self.sizes.cut(start, self._batch_size)) for start in starts]
        self.steps = len(self._batches)
        batch_bytes = len(modules) * self._batch_size * inputs[0].numel() * inputs.element_size()
        self._piece = min(self.steps, max(1, PIECE_BYTES // max(1, batch_bytes))) * self._batch_size  # samples
        self._inputs = inputs.new_empty(len(modules), min(self._piece, self.sizes.most), *inputs.shape[1:])
        self.targets = targets.new_empty(len(modules), self.sizes.most, *targets.shape[1:])

    def iterate(self, epoch: int) -> Iterator[tuple[Tensor, Tensor, Sizes]]:
        """Yield the batches of an epoch (from 0): inputs (K, n, ...), augmented, targets (K, n, ...), and sizes.

        They are overwritten by the batches that follow.
        """
        batches = [module.make_training_batches(lambda: epoch) for module in self._modules]
        orders: list[Tensor] = []
        draws: list[Tensor] = []
        for own, targets in zip(batches, self.targets, strict=True):
            order, drawn = own.draw_epoch()
            # Places without a sample repeat one of the same batch, so that its loss is finite where that of the run is.
            order = torch.cat([order, order[-1:].expand(self.sizes.most - len(order))])
            torch.index_select(own.targets, 0, order, out=targets)
            orders.append(order)
            if drawn is not None:
                draws.append(drawn)
        drawn = stack_padded(draws) if draws else None
        for start, sizes in self._batches:
            at, end = start % self._piece, start + sizes.most
            if at == 0:
                for own, order, inputs in zip(batches, orders, self._inputs, strict=True):
                    chosen = order[start : start + self._piece]
                    torch.index_select(own.inputs, 0, chosen, out=inputs[: len(chosen)])
            batch = self._inputs[:, at : at + end - start]
            augment = batches[0].augment
            if augment is not None and drawn is not None:
                batch = augment(batch.flatten(0, 1), drawn[:, start:end].flatten(0, 1)).unflatten(0, batch.shape[:2])
            yield batch, self.targets[:, start:end], sizes
