"""How fast a run is, as ratios to loops that a user would write by hand; all in one process, with equal threads.

    make bench            (or: python benchmarks/bench.py [--threads N] [--rounds N] [NAME ...]; --help has the names)

A figure is the median over rounds of the ratio of two times taken one after the other, so that a machine whose speed
changes spoils few of them. The data are random numbers in the shapes of the real ones; content does not change times
(but of `studies` and `stacks`, which need Fashion-MNIST in data/ or PARIBUS_DATA).
"""

import argparse
import contextlib
import io
import logging
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import analysis
import lightning
import malloc
import stacks
import sweeps
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision import datasets, transforms

from paribus.process import keep_freed_memory

ROOT = Path(__file__).parents[1]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def epoch_seconds(directory: Path) -> list[float]:
    from paribus.record import read_metrics

    return [float(row["epoch_seconds"] or 0) for row in read_metrics(directory)]


def run(*overrides: str, data: Any = None) -> Path:
    """One run through train.py in this process; `data` stands for what the data module reads."""
    from paribus.run import prepare as running

    directory = Path(tempfile.mkdtemp(dir=SCRATCH.name))
    build, argv = running.build_data, sys.argv
    if data is not None:
        running.build_data = lambda config: data(build(config))
    sys.argv = [
        "train.py",
        f"hydra.run.dir={directory}",
        f"threads={torch.get_num_threads()}",
        "trainer=cpu",
        *overrides,
    ]
    try:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
    except SystemExit:
        sys.exit(out.getvalue())
    finally:
        running.build_data, sys.argv = build, argv
        for handler in list(logging.getLogger().handlers):
            logging.getLogger().removeHandler(handler)
    return directory


@contextlib.contextmanager
def watching(callback: lightning.Callback) -> Iterator[None]:
    """Runs made meanwhile have `callback` among theirs, called last."""
    from paribus.run import train as running

    build = running.build_trainer

    def with_callback(*arguments: Any) -> Any:
        trainer: Any = build(*arguments)
        trainer.callbacks.append(callback)
        return trainer

    running.build_trainer = with_callback  # type: ignore[assignment]
    try:
        yield
    finally:
        running.build_trainer = build


class EpochClock(lightning.Callback):
    """Seconds from the start of an epoch to that of the next, with everything that is recorded of it."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def on_train_epoch_start(self, *arguments: Any) -> None:
        self.marks.append(time.perf_counter())

    def on_train_epoch_end(self, *arguments: Any) -> None:
        self.ended = time.perf_counter()

    def seconds(self) -> float:
        return (self.ended - self.marks[0]) / len(self.marks)


def with_parts(
    train: tuple[torch.Tensor, torch.Tensor], val: tuple[torch.Tensor, torch.Tensor]
) -> Callable[[Any], Any]:
    """A data module as configured, but with these tensors in place of files."""

    def replace(module: Any) -> Any:
        module.prepare_data = lambda: None
        module.load = lambda test: (train, val, None)
        return module

    return replace


# --- MLP on images like Fashion-MNIST's: 54,000 + 6,000 of 1 x 28 x 28


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
    show("MLP epoch: DataLoader with per-sample transforms / the run", [slow], [statistics.median(ours)], 8, least=True)


# --- regression on the concrete rows: 300 epochs of 12 steps


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


# --- VGG6 on images like CIFAR-10's


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


def bench_memory(rounds: int) -> None:
    without, kept = malloc.in_turns(rounds, torch.get_num_threads())
    what = "VGG6 step where malloc gives back what is freed / where it is kept, as in a run"
    show(what, [step for step, _ in without], [step for step, _ in kept])
    most = [max(peak for _, peak in found) for found in (without, kept)]
    print(f"  memory: {most[0]:.0f} MB / {most[1]:.0f} MB", flush=True)


# --- instruments: the same run with them and without, in turns


class InTurns(lightning.Callback):
    """Takes a run's instruments away, and gives them back, with every epoch or every step."""

    def __init__(self, turn: str):
        self.turn = turn
        self.seconds: dict[bool, list[float]] = {True: [], False: []}
        self.present = True
        self.marked: float | None = None

    def swap(self, trainer: Any, learner: Any) -> None:
        from paribus.instruments.divergence import Divergence
        from paribus.training.recorder import Recorder

        now = time.perf_counter()
        if self.marked is not None:
            self.seconds[self.present].append(now - self.marked)
        recorder = next(c for c in trainer.callbacks if isinstance(c, Recorder))
        if self.present:
            self.kept = recorder.instruments, recorder._before_step, recorder._after_step
            learner.look = None
            recorder.instruments, recorder._before_step, recorder._after_step = {}, [], []
        else:
            recorder.instruments, recorder._before_step, recorder._after_step = self.kept
            for instrument in recorder.instruments.values():
                if isinstance(instrument, Divergence):
                    instrument.attach(learner, trainer.datamodule)
        self.present = not self.present
        self.marked = time.perf_counter()

    def on_train_epoch_start(self, trainer: Any, learner: Any) -> None:
        if self.turn == "epoch":
            self.swap(trainer, learner)

    def on_train_batch_start(self, trainer: Any, learner: Any, batch: Any, batch_idx: int) -> None:
        if self.turn == "step":
            self.swap(trainer, learner)

    def on_train_epoch_end(self, *arguments: Any) -> None:
        if self.turn == "step":
            self.marked = None  # what comes until the next step is no step

    def pairs(self) -> tuple[list[float], list[float]]:
        """With and without, in turns; the first two warm up."""
        n = min(map(len, self.seconds.values()))
        return self.seconds[True][1:n], self.seconds[False][1:n]


def bench_instruments(rounds: int) -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (60_000, 1, 28, 28), dtype=torch.uint8, generator=generator)
    labels = torch.randint(10, (60_000,), generator=generator)
    parts = with_parts((pixels[:54_000], labels[:54_000]), (pixels[54_000:], labels[54_000:]))
    for option, limit in (("default", 1.1), ("full", None)):
        turns = InTurns("epoch")
        with watching(turns):
            run(f"callbacks={option}", f"trainer.max_epochs={4 * rounds + 3}", "figures=false", data=parts)
        show(f"MLP epoch with instruments ({option}) / without", *turns.pairs(), limit)
    pixels = torch.randint(256, (128 * 41 + 128, 3, 32, 32), dtype=torch.uint8, generator=generator)
    parts = with_parts((pixels[128:], labels[: 128 * 41]), (pixels[:128], labels[:128]))
    for option, limit in (("default", 1.02), ("full", None)):
        turns = InTurns("step")
        with watching(turns):
            run("model=vgg6", f"callbacks={option}", "trainer.max_epochs=2", "figures=false", data=parts)
        show(f"VGG6 step with instruments ({option}) / without", *turns.pairs(), limit)


def bench_config(rounds: int) -> None:
    command = [sys.executable, str(ROOT / "train.py"), "--cfg", "job"]
    times = [seconds(lambda: subprocess.run(command, check=True, capture_output=True)) for _ in range(rounds)]
    show("python train.py --cfg job, in seconds", times, [1.0] * rounds, 1.0)


def bench_studies(rounds: int) -> None:
    where = Path(SCRATCH.name)
    pairs = [sweeps.side_by_side(where / str(i), epochs=5) for i in range(max(1, rounds // 5))]
    together, alone = zip(*pairs, strict=True)
    show("12 MLP runs of 5 epochs, one after the other / in parallel", alone, together, 1.5, least=True)
    show("500 finished runs started again, in seconds", [sweeps.started_again(where / "again")], [1.0], 20)


def bench_stacks(rounds: int) -> None:
    where = Path(SCRATCH.name) / "stacks"
    parts, n = concrete(), 40
    loop = statistics.median(seconds(lambda: plain_concrete(parts)) for _ in range(rounds))
    # what starting takes is in a study once
    one, ten = (stacks.study(where / f"serial{k}", k, "serial", *stacks.CONCRETE)[0] for k in (1, 10))
    basic = one + (n - 1) * (ten - one) / 9
    took = {k: stacks.study(where / str(k), k, "stacked", *stacks.CONCRETE) for k in (1, 10, 40, 100, 400)}
    show(f"Plain loop with DataLoader, {n} times over (of {rounds}) / {n} concrete runs of 300 epochs stacked",
         [n * loop], [took[n][0]], 12, least=True)  # fmt: skip
    show(f"{n} concrete runs with the basic launcher (of 10) / stacked", [basic], [took[n][0]], 20, least=True)
    for k, (whole, peak) in took.items():
        print(f"  {k} concrete runs stacked: {whole / k:.2f} s a run, {whole:.1f} s in all; {peak:.0f} MB", flush=True)
    found = {kind: stacks.study(where / kind, 8, kind, *stacks.MLP) for kind in ("parallel", "stacked")}
    show("8 MLP runs of 2 epochs in parallel / stacked", [found["parallel"][0]], [found["stacked"][0]])
    print(f"  memory: {found['parallel'][1]:.0f} MB / {found['stacked'][1]:.0f} MB", flush=True)


def bench_analysis(rounds: int) -> None:
    where = Path(SCRATCH.name)
    for name, runs, limit in (("1,000 runs", analysis.THOUSAND, 12), ("12 runs", analysis.DOZEN, 4)):
        found = analysis.told(where / name, runs)
        show(f"{name} told on a page and in tables, in seconds", [found["tables"]], [1.0], limit)
        show(f"{name}: figures drawn too, in seconds", [found["figures"]], [1.0])
        show(f"{name}: the page, in megabytes", [found["megabytes"]], [1.0], 15)


def show(what: str, ours: Any, theirs: Any, limit: float | None = None, least: bool = False) -> None:
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    ratio = statistics.median(ratios)
    asked = "" if limit is None else f"   (at {'least' if least else 'most'} {limit:g})"
    print(
        f"{what}: {ratio:.2f}{asked}   [{statistics.median(ours):.4g} s / {statistics.median(theirs):.4g} s]",
        flush=True,
    )


if __name__ == "__main__":
    benches = {
        "config": bench_config,
        "regression": bench_regression,
        "mlp": bench_mlp,
        "vgg6": bench_vgg6,
        "memory": bench_memory,
        "instruments": bench_instruments,
        "studies": bench_studies,
        "stacks": bench_stacks,
        "analysis": bench_analysis,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=[[], *benches], help="default: all")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()  # as train.py does; the loops written by hand have it too
    print(f"torch {torch.__version__}, {options.threads} threads, median of {options.rounds} rounds", flush=True)
    SCRATCH = tempfile.TemporaryDirectory()
    with SCRATCH:
        for name in options.what or benches:
            benches[name](options.rounds)
