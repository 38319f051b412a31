"""Time runs through train.py, and callbacks that read the clock within one."""

import contextlib
import io
import logging
import runpy
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning
import torch

ROOT = Path(__file__).parents[1]
SCRATCH = tempfile.TemporaryDirectory()  # of this process


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


def show(what: str, ours: Any, theirs: Any, limit: float | None = None, least: bool = False) -> None:
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    ratio = statistics.median(ratios)
    asked = "" if limit is None else f"   (at {'least' if least else 'most'} {limit:g})"
    print(
        f"{what}: {ratio:.2f}{asked}   [{statistics.median(ours):.4g} s / {statistics.median(theirs):.4g} s]",
        flush=True,
    )
