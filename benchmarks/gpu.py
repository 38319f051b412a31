"""Time training on a GPU, alone and in stacks, and print a Markdown table with the card's name.

    python benchmarks/gpu.py                          (--epochs N, --most N; --help)
    python benchmarks/gpu.py --device cpu --small     tries the script where there is no GPU

Images are random numbers in the shapes of Fashion-MNIST and CIFAR-10; the concrete data are those of the repository. A
figure is the median over epochs without the first, from the records: an epoch with its validation and what is recorded.
In a stack it is a run's share.
"""

import argparse
import logging
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from sweeps import planned
from timing import SCRATCH, epoch_seconds, with_parts

from paribus.process import prepare_to_train
from paribus.run import prepare
from paribus.run.attempt import attempt
from paribus.stacked import grouping
from paribus.stacked.attempt import attempt_stack

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
CONCRETE, MLP, VGG6, NARROW = "concrete", "MLP", "VGG6", "VGG6, an eighth as wide"
MODELS = {
    CONCRETE: ("model=regression",),
    MLP: ("model=mlp",),
    VGG6: ("model=vgg6",),
    NARROW: ("model=vgg6", "model.width_multiplier=0.125"),
}
SHAPES = {MLP: ((1, 28, 28), 54_000, 6_000), VGG6: ((3, 32, 32), 45_000, 5_000), NARROW: ((3, 32, 32), 45_000, 5_000)}
STACKS = {CONCRETE: (1, 10, 100, 1000), MLP: (1, 10, 100), NARROW: (1, 10, 100)}


def make_parts(name: str, small: bool) -> Callable[[Any], Any] | None:
    """Return a function that puts random images in place of files; None for data that need none."""
    if name not in SHAPES:
        return None
    shape, train, val = SHAPES[name]
    generator = torch.Generator().manual_seed(0)

    def draw(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = torch.randint(256, (n, *shape), dtype=torch.uint8, generator=generator)
        return pixels, torch.randint(10, (n,), generator=generator)

    return with_parts(draw(256 if small else train), draw(64 if small else val))


@contextmanager
def reading(parts: Callable[[Any], Any] | None) -> Iterator[None]:
    """Have runs and stacks read these parts within the block."""
    build = prepare.build_data
    if parts is not None:
        prepare.build_data = grouping.build_data = lambda config: parts(build(config))
    try:
        yield
    finally:
        prepare.build_data = grouping.build_data = build


def time_runs(name: str, runs: int, precision: str, options: argparse.Namespace) -> tuple[float, str]:
    """Train runs at once; return a run's seconds an epoch, and how they were trained."""
    where = Path(tempfile.mkdtemp(dir=SCRATCH.name))
    typed = [
        *MODELS[name], f"trainer={'cpu' if options.device == 'cpu' else 'gpu'}", f"trainer.precision={precision}",
        f"trainer.max_epochs={options.epochs}", f"seed=range(1,{runs + 1})", "callbacks=none", "logger=none",
    ]  # fmt: skip
    with reading(make_parts(name, options.small)), prepare_to_train():
        jobs = [run.job.compose() for run in planned(where, typed)]
        stacks = [jobs] if runs == 1 else grouping.split_group(jobs, 1, None)
        outcomes = [outcome for stack in stacks for outcome in _train(stack)]
    failures = [outcome.message for outcome in outcomes if outcome.message]
    if failures:
        sys.exit(f"{name}, {runs} runs: {failures[0]}")
    seconds = [statistics.median(epoch_seconds(job.directory)[1:]) for job in jobs]
    return statistics.fmean(seconds), "alone" if runs == 1 else " + ".join(str(len(stack)) for stack in stacks)


def _train(jobs: list[Any]) -> list[Any]:
    return [attempt(jobs[0], console=False)] if len(jobs) == 1 else attempt_stack(jobs)


def print_rows(options: argparse.Namespace) -> None:
    """Print the table, a row as soon as it is measured."""
    device = torch.cuda.get_device_name() if options.device == "cuda" else f"{options.device}, a trial"
    print(f"{device}, torch {torch.__version__}, {options.epochs} epochs\n")
    print("| network | precision | trained | seconds an epoch of a run | of one run alone |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    for name in MODELS:
        alone = 0.0
        for precision in PRECISIONS if name in (MLP, VGG6) else PRECISIONS[:1]:
            if precision == "16-mixed" and options.device == "cpu":
                continue  # torch scales no losses there
            seconds, how = time_runs(name, 1, precision, options)
            alone = alone or seconds
            print(f"| {name} | {precision} | {how} | {seconds:.4g} | {seconds / alone:.3f} |", flush=True)
        for runs in STACKS.get(name, ())[1:]:
            if runs <= options.most:
                seconds, how = time_runs(name, runs, "32-true", options)
                print(f"| {name} | 32-true | in a stack: {how} | {seconds:.4g} | {seconds / alone:.3f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="a few hundred images, and stacks of 10 at most")
    parser.add_argument("--epochs", type=int, default=4, help="at least 2; the first one warms up")
    parser.add_argument("--most", type=int, default=1000, help="largest number of runs in a stack")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("There is no GPU that torch can use. --device cpu --small tries the script without one.")
    if options.small:
        options.most = min(options.most, 10)
    logging.disable(logging.INFO)
    with SCRATCH:
        print_rows(options)
