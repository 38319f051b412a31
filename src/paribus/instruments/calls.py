"""Call the instruments of a run in turn, and measure what they cost."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paribus.instruments.instrument import Instrument
from paribus.instruments.measurement import Measured, check_scalar
from paribus.instruments.step_gradients import StepGradients
from paribus.loggers.histogram import Histogram


class InstrumentCalls:
    """The instruments of a run or of a stack, which share the calls of a step and of an epoch's end.

    Attributes:
        seconds: time that the process spent in the calls of each instrument so far, by name. On a GPU that is the time
            to launch the work, and to wait for its results at the end of an epoch.
        end_seconds: the part of it that was spent at the ends of epochs, by all of them.
    """

    def __init__(self, instruments: Mapping[str, Instrument]):
        self.instruments = dict(instruments)
        self.seconds = dict.fromkeys(self.instruments, 0.0)
        self.end_seconds = 0.0
        kinds = [(name, instrument, type(instrument)) for name, instrument in self.instruments.items()]
        self._gradients = StepGradients()
        for instrument in self.instruments.values():
            instrument.gradients = self._gradients
        self._before = [
            (name, i.before_step) for name, i, kind in kinds if kind.before_step is not Instrument.before_step
        ]
        self._after = [(name, i.after_step) for name, i, kind in kinds if kind.after_step is not Instrument.after_step]

    @property
    def observes_gradients(self) -> bool:
        """True if an instrument is called before each step."""
        return bool(self._before)

    def before_step(self, step: int, samples: int | Tensor) -> None:
        """Have the instruments observe the gradients of a step; see Instrument.before_step."""
        then = time.perf_counter()
        if self._before:
            self._gradients.begin_step(step, self.instruments[self._before[0][0]].learner)
        for name, observe in self._before:
            observe(step, samples)
            now = time.perf_counter()
            self.seconds[name] += now - then
            then = now
        self._gradients.end_step()

    def after_step(self, step: int) -> None:
        """Have the instruments observe the weights after a step."""
        then = time.perf_counter()
        for name, observe in self._after:
            observe(step)
            now = time.perf_counter()
            self.seconds[name] += now - then
            then = now

    def measure(self, epoch: int, measured: list[Measured]) -> None:
        """Append what the instruments measure to `measured`, which after an error has what came before it."""
        for name, instrument in self.instruments.items():
            with self._timing(name), torch.no_grad():
                for new in instrument.measure(epoch):
                    earlier = [m for m in measured if (m.quantity, m.tensor) == (new.quantity, new.tensor)]
                    new.check({layer for m in earlier for layer in m.layers})
                    measured.append(new)

    def measure_scalars(self, epoch: int) -> dict[str, np.ndarray]:
        """Measure the quantities of the whole network: by column of metrics.csv an array of shape (), or (K,)."""
        found: dict[str, np.ndarray] = {}
        for name, instrument in self.instruments.items():
            with self._timing(name), torch.no_grad():
                for column, value in instrument.scalars(epoch).items():
                    check_scalar(column, value, instrument.learner.lead, found)
                    found[column] = value.detach().cpu().double().numpy()
        return found

    def compute_histograms(self, epoch: int, last: bool) -> Iterator[Histogram]:
        """Yield the histograms of all instruments."""
        for name, instrument in self.instruments.items():
            with self._timing(name):
                found = list(instrument.histograms(epoch, last))
            yield from found

    def summarise(self, epoch_seconds: Sequence[float], columns: Iterable[str]) -> dict[str, Any]:
        """Summarise the instruments for summary.json: their price, in seconds and as a share of the time, and columns.

        Args:
            epoch_seconds: durations of the epochs that this process has trained; they include the calls of steps, but
                not those at the ends of epochs.
            columns: columns of metrics.csv that instruments have measured.
        """
        total, whole = sum(self.seconds.values()), sum(epoch_seconds) + self.end_seconds
        share = total / whole if whole else 0.0
        price = {"epochs": len(epoch_seconds), "seconds": dict(self.seconds), "share": share}
        return {**price, "columns": list(columns)}

    @contextmanager
    def _timing(self, name: str) -> Iterator[None]:
        """Time a call at the end of an epoch, and add the instrument's name to an error that it raises."""
        then = time.perf_counter()
        with naming(name):
            yield
        spent = time.perf_counter() - then
        self.seconds[name] += spent
        self.end_seconds += spent


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Add the instrument's name to errors that it raises."""
    try:
        yield
    except Exception as error:
        error.add_note(f"(In callbacks.{name}.)")
        raise
