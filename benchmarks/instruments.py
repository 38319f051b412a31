"""The same run with instruments and without, in turns."""

import statistics
import time
from typing import Any

import lightning
import torch
from floor import time_traffic
from timing import run, show, watching, with_parts
from torch import nn


class InTurns(lightning.Callback):
    """Takes a run's instruments away, and gives them back, with every epoch or every step."""

    def __init__(self, turn: str):
        self.turn = turn
        self.seconds: dict[bool, list[float]] = {True: [], False: []}
        self.present = True
        self.marked: float | None = None

    def swap(self, trainer: Any, learner: Any) -> None:
        from paribus.instruments.calls import InstrumentCalls
        from paribus.instruments.divergence import Divergence
        from paribus.training.recorder import Recorder

        now = time.perf_counter()
        if self.marked is not None:
            self.seconds[self.present].append(now - self.marked)
        recorder = next(c for c in trainer.callbacks if isinstance(c, Recorder))
        if self.present:
            self.kept = recorder.calls
            learner.loss_hook = None
            recorder.calls = InstrumentCalls({})
        else:
            recorder.calls = self.kept
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
    from paribus.models.mlp import MLP
    from paribus.models.vgg6 import VGG6

    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (60_000, 1, 28, 28), dtype=torch.uint8, generator=generator)
    labels = torch.randint(10, (60_000,), generator=generator)
    parts = with_parts((pixels[:54_000], labels[:54_000]), (pixels[54_000:], labels[54_000:]))
    for option, limit in (("default", 1.05), ("curvature", 1.3), ("full", 1.3)):
        turns = InTurns("epoch")
        with watching(turns):
            run(f"callbacks={option}", f"trainer.max_epochs={4 * rounds + 3}", "figures=false", data=parts)
        show(f"MLP epoch with instruments ({option}) / without", *turns.pairs(), limit)
        show_least(MLP((1, 28, 28), 10, nn.ReLU), 54_000 // 128, *turns.pairs())
    pixels = torch.randint(256, (128 * 41 + 128, 3, 32, 32), dtype=torch.uint8, generator=generator)
    parts = with_parts((pixels[128:], labels[: 128 * 41]), (pixels[:128], labels[:128]))
    for option, limit in (("default", 1.01), ("full", 1.03)):
        turns = InTurns("step")
        with watching(turns):
            run("model=vgg6", f"callbacks={option}", "trainer.max_epochs=2", "figures=false", data=parts)
        show(f"VGG6 step with instruments ({option}) / without", *turns.pairs(), limit)
        show_least(VGG6((3, 32, 32), 10, nn.ReLU), 1, *turns.pairs())


def show_least(network: nn.Module, steps: int, with_them: list[float], without: list[float]) -> None:
    """Print the least that instruments cost which see every step: each gradient is read once."""
    least = steps * time_traffic(sum(4 * p.numel() for p in network.parameters()), reads=1)
    found, base = statistics.median(with_them), statistics.median(without)
    more = found - base - least
    print(
        f"  floor {1 + least / base:.3f}: gradients are read once ({least:.3g} s); ours {more:.3g} s more", flush=True
    )
