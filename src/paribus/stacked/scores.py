"""Compute the losses and metrics of a stack's networks, and validate them."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from paribus.models.layers import evaluation_mode
from paribus.record import N_FOLDS, N_PROBE
from paribus.stacked.member import Member
from paribus.stacked.sizes import count_samples, stack_padded
from paribus.stacked.view import StackView
from paribus.training.flips import compute_outputs
from paribus.training.sums import average_by_fold
from paribus.training.twins import read_predictions


class StackScores:
    """Losses and metrics of K runs whose networks are one.

    Attributes:
        validates: whether there are validation samples.
        probe: each run's predictions (n,) for the first validation samples, of the last validation; None without folds.
    """

    def __init__(self, members: Sequence[Member], view: StackView):
        self.members = members
        self.view = view
        self.learner = members[0].learner
        self.data = members[0].data
        assert self.data.val is not None
        self.validates = len(self.data.val[0]) > 0
        folds = [fold for member in members if (fold := member.data.validation_folds) is not None]
        self.folds = pad_sequence(folds, batch_first=True, padding_value=N_FOLDS) if folds else None
        self.probe: list[np.ndarray] | None = None

    def compute_sample_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Compute the loss of each sample, (K, n, ...), from outputs (K, n, ...)."""
        losses = self.learner.loss.of_samples(outputs.flatten(0, 1), targets.flatten(0, 1))
        return losses.unflatten(0, outputs.shape[:2])

    def score_samples(self, outputs: Sequence[Tensor], targets: Tensor, training: bool) -> dict[str, Tensor]:
        """Compute the metrics beside the loss, (K, samples) by name, from an epoch's outputs, each (K, n, ...)."""
        self.learner.training = training
        scores = self.learner.score_samples(torch.cat(list(outputs), 1).flatten(0, 1), targets.flatten(0, 1))
        return {name: values.unflatten(0, targets.shape[:2]) for name, values in scores.items()}

    def to_inputs(self, raw: Tensor) -> Tensor:
        """Convert a batch (K, n, ...) of the tensors in memory to inputs of the networks."""
        return raw if self.data.stores_inputs else self.data.inputs(raw.flatten(0, 1)).unflatten(0, raw.shape[:2])

    def validate(
        self, choose: Callable[[int], Tensor] | None = None
    ) -> list[tuple[dict[str, float], dict[str, np.ndarray] | None]]:
        """Validate each run. Return its means over the validation part, and over each fold if it has folds.

        `choose`: returns the numbers of the samples that are validated, given how many there are; then without folds.
        None: all.
        """
        if not self.validates:
            return [({}, None) for _ in self.members]
        batches = [member.data.make_eval_batches(member.data.val) for member in self.members]
        parts, folds = [(own.inputs, own.targets) for own in batches], self.folds
        if choose is not None:
            chosen = [choose(len(targets)).to(targets.device) for _, targets in parts]
            parts, folds = [(x[own], y[own]) for (x, y), own in zip(parts, chosen, strict=True)], None
        inputs, sizes = [own for own, _ in parts], count_samples([own for _, own in parts])
        targets = stack_padded([own for _, own in parts])  # inputs are stacked batch by batch: they may be large
        outputs: list[Tensor] = []
        losses: list[Tensor] = []
        sums = self.view.validation_sums
        with evaluation_mode(self.view.network):
            for start in range(0, sizes.most, batches[0].batch_size):
                batch, size = slice(start, start + batches[0].batch_size), sizes.cut(start, batches[0].batch_size)
                images, target = self.to_inputs(stack_padded(inputs, start, batches[0].batch_size)), targets[:, batch]
                output = compute_outputs(self.view.network, images, self.data.average_flips)
                losses.append(self.compute_sample_losses(output, target))
                sums.add(size.weight, size.average(self.learner.loss, losses[-1], target), {})
                outputs.append(output)
        scores = self.score_samples(outputs, targets, training=False)
        if folds is not None:
            first = torch.cat(outputs, 1)[:, :N_PROBE]
            predictions = read_predictions(self.learner.loss, first.flatten(0, 1)).reshape(len(first), -1)
            self.probe = [own[:n] for own, n in zip(predictions, sizes.counts.tolist(), strict=True)]
        sums.add_sums({name: sizes.sum(values) for name, values in scores.items()})
        means = [{f"val/{name}": value for name, value in run.items()} for run, _ in sums.read_stack()]
        if self.learner.loss.decomposes:
            scores = {"loss": torch.cat(losses, 1).flatten(1), **scores}
        by_fold = {} if folds is None else average_by_fold(scores, folds)
        whole = self.learner.whole_metrics
        for k, run in enumerate(means if whole.names else ()):
            n = int(sizes.counts[k])
            output, target = torch.cat([batch[k] for batch in outputs])[:n], targets[k, :n]
            run |= {f"val/{name}": value for name, value in whole.compute(output, target).items()}
            own = whole.compute_by_fold(output, target, None if folds is None else folds[k, :n])
            for name, values in own.items():
                by_fold.setdefault(name, np.empty((len(means), len(values))))[k] = values
        by_run = [{name: values[k] for name, values in by_fold.items()} or None for k in range(len(means))]
        return list(zip(means, by_run, strict=True))
