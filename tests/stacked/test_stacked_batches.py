"""The batches of a stack are those of its runs alone, in whatever pieces they are gathered."""

from typing import Any

import pytest
import torch
from torch import Tensor

from paribus.data.batches import CropFlip
from paribus.data.module import InMemory, Part
from paribus.stacked import batches
from paribus.stacked.batches import StackedBatches


class Pixels(InMemory):
    """A training part of 23 images whose pixels depend on the seed, or of so many."""

    n = 23

    task, in_shape, out_features = "classification", (1, 6, 6), 10
    stores_inputs = False

    def load(self, test: bool) -> tuple[Part | None, Part | None, Part | None]:
        random = torch.Generator().manual_seed(self.seed)
        images = torch.randint(256, (self.n, 1, 6, 6), dtype=torch.uint8, generator=random)
        return (images, torch.arange(self.n)), (images, torch.arange(self.n)), None

    def inputs(self, raw: Any) -> Tensor:
        return torch.as_tensor(raw)

    def statistics(self) -> dict[str, Any]:
        return {}

    def restore(self, statistics: dict[str, Any]) -> None: ...


@pytest.mark.parametrize("augmented", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 6, 100])  # gathered at once, of 6
def test_batches_are_those_of_each_run_alone(monkeypatch: pytest.MonkeyPatch, steps: int, augmented: bool) -> None:
    monkeypatch.setattr(batches, "PIECE_BYTES", steps * 3 * 4 * 36)
    modules = [Pixels(batch_size=4, train_subset=None, train_on_validation=False, seed=seed) for seed in (1, 2, 3)]
    for module in modules:
        module.augment = CropFlip(2) if augmented else None
        module.setup("fit")
    stacked = StackedBatches(modules)
    assert (stacked.sizes.most, stacked.steps) == (23, 6)
    for epoch in (0, 1):
        alone = [list(module.make_training_batches(lambda epoch=epoch: epoch)) for module in modules]
        for (inputs, targets, _), *own in zip(stacked.iterate(epoch), *alone, strict=True):
            assert torch.equal(inputs, torch.stack([image for image, _ in own]))
            assert torch.equal(targets, torch.stack([label for _, label in own]))
        assert torch.equal(stacked.targets, torch.stack([torch.cat([t for _, t in run]) for run in alone]))


def test_places_without_a_sample_repeat_one_of_the_run() -> None:
    modules = [Pixels(batch_size=4, train_subset=None, train_on_validation=False, seed=seed) for seed in (1, 2, 3)]
    for module, n in zip(modules, (9, 11, 10), strict=True):
        module.n = n
        module.setup("fit")
    stacked = StackedBatches(modules)
    assert (stacked.sizes.counts.tolist(), stacked.steps) == ([9, 11, 10], 3)
    alone = [list(module.make_training_batches(lambda: 1)) for module in modules]
    for (inputs, targets, sizes), *own in zip(stacked.iterate(1), *alone, strict=True):
        assert sizes.counts.tolist() == [len(labels) for _, labels in own]
        for k, (images, labels) in enumerate(own):
            n = len(labels)
            assert torch.equal(inputs[k, :n], images) and torch.equal(targets[k, :n], labels)
            assert (inputs[k, n:] == images[-1]).all() and (targets[k, n:] == labels[-1]).all()
