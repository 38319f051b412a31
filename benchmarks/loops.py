"""Runs against loops that a user would write by hand."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import lightning
import malloc
import torch
from floor import show_shares, time_epoch, time_traffic
from timing import EpochClock, epoch_seconds, run, seconds, show, watching, with_parts
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision import datasets, transforms


def bench_mlp(rounds: int) -> None:
    from paribus.models.mlp import MLP

    epochs = 3
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (60_000, 1, 28, 28), dtype=torch.uint8, generator=generator)
    labels = torch.randint(10, (60_000,), generator=generator)
    inputs = (pixels.float() / 255 - 0.5) / 0.5
    train, val = (inputs[:54_000], labels[:54_000]), (inputs[54_000:], labels[54_000:])

    def network() -> tuple[nn.Module, torch.optim.Optimizer]:
        model = MLP((1, 28, 28), 10, nn.ReLU)
        return model, torch.optim.Adam(model.parameters(), lr=1e-3)

    def plain() -> None:
        """The plain loop on resident tensors: loss and accuracy of both parts, one synchronisation an epoch."""
        model, optimizer = network()
        for _ in range(epochs):
            total, right = torch.zeros(()), torch.zeros((), dtype=torch.int64)
            for batch in torch.randperm(54_000).split(128):
                x, y = train[0][batch], train[1][batch]
                output = model(x)
                loss = F.cross_entropy(output, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.detach() * len(x)
                right += (output.detach().argmax(1) == y).sum()
            with torch.no_grad():
                for start in range(0, 6_000, 1000):
                    output = model(val[0][start : start + 1000])
                    F.cross_entropy(output, val[1][start : start + 1000]).item()
                    (output.argmax(1) == val[1][start : start + 1000]).sum().item()
            float(total), int(right)

    def per_sample() -> None:
        """As torchvision's tutorials have it: a DataLoader that transforms one image after another."""
        transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])

        def images(part: slice) -> Dataset[Any]:
            dataset = datasets.FashionMNIST.__new__(datasets.FashionMNIST)  # no files: these pixels
            dataset.data, dataset.targets = pixels[part, 0], labels[part]
            dataset.transform, dataset.target_transform = transform, None
            return dataset

        model, optimizer = network()
        loader = DataLoader(images(slice(54_000)), batch_size=128, shuffle=True)
        for x, y in loader:
            output = model(x)
            loss = F.cross_entropy(output, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item(), (output.argmax(1) == y).sum().item()
        with torch.no_grad():
            for x, y in DataLoader(images(slice(54_000, None)), batch_size=128):
                output = model(x)
                F.cross_entropy(output, y).item(), (output.argmax(1) == y).sum().item()

    parts = with_parts((pixels[:54_000], labels[:54_000]), (pixels[54_000:], labels[54_000:]))
    ours, plains = [], []
    for _ in range(rounds):
        plains.append(seconds(plain) / epochs)
        clock = EpochClock()
        with watching(clock):
            run(f"trainer.max_epochs={epochs}", data=parts)
        ours.append(clock.seconds())
    slow = seconds(per_sample)
    show("MLP epoch with record, TensorBoard and progress / plain loop on resident tensors", ours, plains, 1.5)
    least = time_epoch(network()[0], train[0][:128], 54_000 // 128, val[0][:1000], 6)
    gathered = time_traffic(54_000 * 784 * 4, reads=1, writes=1)  # of an epoch's inputs in their order
    show_shares(least + gathered, statistics.median(plains), statistics.median(ours))
    show("MLP epoch: DataLoader with per-sample transforms / the run", [slow], [statistics.median(ours)], 8, least=True)


def concrete() -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """The training and the validation part of a run."""
    from paribus.data.concrete import Concrete

    data = Concrete(None, "strength", "random", False, 64, 0.15, 0.15, None, False, seed=1)
    data.setup("fit")
    assert data.train and data.val
    return data.train, data.val


def fit_concrete(parts: tuple[Any, ...], batches: Callable[[tuple[Any, ...], bool], Any]) -> None:
    """300 epochs of a loop written by hand: loss of both parts."""
    from paribus.models.regression import RegressionNet

    model = RegressionNet((8,), 1, nn.ReLU)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(300):
        total = 0.0
        for x, y in batches(parts[0], True):
            loss = F.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
        with torch.no_grad():
            for x, y in batches(parts[1], False):
                F.mse_loss(model(x), y).item()


def plain_concrete(parts: tuple[Any, ...]) -> None:
    """The report's: TensorDataset and DataLoader."""
    loaders = {shuffle: DataLoader(TensorDataset(*part), 64, shuffle=shuffle)
               for part, shuffle in zip(parts, (True, False), strict=True)}  # fmt: skip
    fit_concrete(parts, lambda part, shuffle: loaders[shuffle])


def fit_concrete_least(parts: tuple[Any, ...], runs: int = 1) -> float:
    """Return the floor of these 300 epochs, for one run or for several that are trained as one, in seconds."""
    from paribus.models.regression import RegressionNet

    (x, _), (x_val, _) = parts
    network = RegressionNet((8,), 1, nn.ReLU)
    return 300 * time_epoch(network, x[:64], len(x) // 64, x_val[:64], len(x_val) // 64, runs)


def bench_regression(rounds: int) -> None:
    parts = concrete()

    def resident() -> None:
        def batches(part: tuple[Any, ...], shuffle: bool) -> Any:
            order = torch.randperm(len(part[0])) if shuffle else torch.arange(len(part[0]))
            return ((part[0][i], part[1][i]) for i in order.split(64))

        fit_concrete(parts, batches)

    whole, fit, plains, residents, unfigured = [], [], [], [], []
    for _ in range(rounds):
        plains.append(seconds(lambda: plain_concrete(parts)))
        residents.append(seconds(resident))
        start = time.perf_counter()
        directory = run("model=regression", "seed=1")
        whole.append(time.perf_counter() - start)
        fit.append(sum(epoch_seconds(directory)))
        unfigured.append(seconds(lambda: run("model=regression", "seed=1", "figures=false")))
    show(
        "Concrete run of 300 epochs with figures, from configuration to summary / plain loop with DataLoader",
        whole,
        plains,
        1.8,
    )
    show("  without figures, as under --multirun / the same loop", unfigured, plains)
    show("  its epochs alone / the same loop", fit, plains)
    show("  plain loop on resident tensors / the same loop", residents, plains)
    show_shares(fit_concrete_least(parts), statistics.median(plains), statistics.median(whole))


def bench_vgg6(rounds: int) -> None:
    from paribus.models.vgg6 import VGG6

    steps = 8
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (128 * steps + 128, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.randint(10, (len(pixels),), generator=generator)
    resident = torch.randn(128, 3, 32, 32)
    model = VGG6((3, 32, 32), 10, nn.ReLU)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    ours: list[float] = []
    bares: list[float] = []

    def bare() -> None:
        """The step on one resident batch: no data, no augmentation, nothing counted."""
        loss = F.cross_entropy(model(resident), labels[:128])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    class Alternate(lightning.Callback):
        """A bare step before each step of the run; the rest of the time, from the first shuffle on, is the run's."""

        started = bare = 0.0

        def on_train_epoch_start(self, *arguments: Any) -> None:
            self.started, self.bare = time.perf_counter(), 0.0

        def on_train_batch_start(self, *arguments: Any) -> None:
            self.bare += seconds(bare)

        def on_train_batch_end(self, trainer: Any, learner: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            if batch_idx == steps - 1:
                bares.append(self.bare / steps)
                ours.append((time.perf_counter() - self.started - self.bare) / steps)

    with watching(Alternate()):
        parts = with_parts((pixels[128:], labels[128:]), (pixels[:128], labels[:128]))
        run("model=vgg6", f"trainer.max_epochs={rounds + 1}", data=parts)
    what = "VGG6 step with data, augmentation and counting / bare step on a resident batch"
    show(what, ours[1:], bares[1:], 1.05)  # the first epoch warms up
    least = time_epoch(model, resident, 1, resident, 0)
    show_shares(least, statistics.median(bares[1:]), statistics.median(ours[1:]))


def bench_memory(rounds: int) -> None:
    without, kept = malloc.in_turns(rounds, torch.get_num_threads())
    what = "VGG6 step where malloc gives back what is freed / where it is kept, as in a run"
    show(what, [step for step, _ in without], [step for step, _ in kept])
    most = [max(peak for _, peak in found) for found in (without, kept)]
    print(f"  memory: {most[0]:.0f} MB / {most[1]:.0f} MB", flush=True)
