"""Flips: alternating ones in training, and averages over mirror images where a network is evaluated."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from paribus import record
from paribus.data.cifar10 import CIFAR10
from paribus.randomness import make_generator
from paribus.run.evaluate import evaluate
from paribus.run.load import Run, load_run

CIFAR = {"verify": False, "batch_size": 16, "val_size": 10, "train_subset": None, "train_on_validation": False, "augment": True,
         "mean": [0.4914, 0.4822, 0.4465], "std": [0.2470, 0.2435, 0.2616], "seed": 1}  # fmt: skip
SHORT = ("trainer=cpu", "threads=1", "logger=none", "trainer.max_epochs=1", "data.average_flips=true")


def test_alternating_flips_show_each_image_and_its_mirror_image_in_turn(cifar_root: Path) -> None:
    data = CIFAR10(root=str(cifar_root), flip="alternating", shift=0, **CIFAR)  # type: ignore[arg-type]
    data.setup("fit")
    assert data.train is not None
    images, n = data.inputs(data.train[0]), len(data.train[0])
    symmetric = (images == images.flip(3)).flatten(1).all(1)
    assert not symmetric.any(), "else this test could not tell"
    mirrored = []
    for epoch in range(3):
        batches = data.make_training_batches(lambda epoch=epoch: epoch)  # type: ignore[misc]
        shown = torch.empty_like(images)
        order = torch.randperm(n, generator=make_generator(1, "batches", epoch))
        shown[order] = torch.cat([batch for batch, _ in batches])
        as_is, flipped = ((shown == other).flatten(1).all(1) for other in (images, images.flip(3)))
        assert (as_is ^ flipped).all()
        mirrored.append(flipped)
    assert 0 < int(mirrored[0].sum()) < n, "in the first epoch at random"
    assert torch.equal(mirrored[1], ~mirrored[0])
    assert torch.equal(mirrored[2], mirrored[0])


def average(run: Run, part: tuple[torch.Tensor, torch.Tensor] | None) -> tuple[torch.Tensor, float]:
    """The mean of the outputs for images and for pixels in reverse order, and its cross entropy."""
    assert part is not None
    inputs = run.data.inputs(part[0])
    with torch.no_grad():
        output = (run.network(inputs) + run.network(torch.from_numpy(inputs.numpy()[..., ::-1].copy()))) / 2
    return output, float(F.cross_entropy(output, part[1]))


@pytest.mark.slow
def test_outputs_are_averaged_in_validation_test_and_prediction(cifar_root: Path, train: Callable[..., Path]) -> None:
    own = (
        "model=vgg6",
        "model.width_multiplier=0.05",
        f"data.root={cifar_root}",
        "data.verify=false",
        "data.val_size=50",
    )
    run = load_run(train(*own, *SHORT), "last")
    run.data.setup("fit")
    run.data.setup("test")
    assert isinstance(run.data, CIFAR10) and run.data.val
    output, loss = average(run, run.data.val)
    [row] = record.read_metrics(run.directory)
    assert row["val/loss"] == pytest.approx(loss, rel=1e-5)
    assert torch.allclose(run.predict(run.data.val[0]), output.softmax(1), atol=1e-6)
    tested = evaluate(run, torch.device("cpu"))
    assert tested["loss"] == pytest.approx(average(run, run.data.test)[1], rel=1e-5)
    assert tested["average_flips"] is True


def test_a_run_without_the_later_options_is_the_one_with_their_defaults() -> None:
    later = {"shift": None, "flip": "random", "fill": "zeros", "average_flips": False}
    older = {
        "data": {"_target_": "paribus.data.cifar10.CIFAR10", "augment": True},
        "seed": 1,
        "model": {},
        "metrics": {},
    }
    now = {**older, "data": {**older["data"], **later}}  # type: ignore[dict-item]
    assert record.identify(now) == record.identify(older)
    assert record.use_current_targets(older) == now
    other = {**now, "data": {**now["data"], "flip": "alternating"}}  # type: ignore[dict-item]
    assert record.identify(other) != record.identify(older)
    assert "flip" not in record.use_current_targets({**older, "data": {"_target_": "my.Data", "augment": True}})["data"]
