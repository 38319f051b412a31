"""Keep what belongs to one run of a stack."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from paribus.instruments.instrument import Instrument
from paribus.models.layers import WeightLayer
from paribus.run.prepare import Prepared
from paribus.training.checkpoints import Checkpoints
from paribus.training.learner import Learner
from paribus.training.recording import Recording


@dataclass
class Member:
    """A run of the stack.

    Attributes:
        instruments: its own, for what is done once a run: histograms, files at the end, the layer that broke.
        stored: the checkpoint that it goes on from, if it does.
        ended: whether its record is finished, after a divergence or at the end; it takes part no more then.
        failure: what went wrong with its own files, if anything did; it takes part no more either.
    """

    prepared: Prepared
    recording: Recording
    instruments: dict[str, Instrument]
    checkpoints: Checkpoints
    stored: dict[str, Any] | None = None
    ended: bool = False
    failure: Exception | None = None

    def attach(self) -> None:
        """Take up the weights, and what the instruments knew."""
        if self.stored is not None:
            self.learner.load_state_dict(self.stored["state_dict"])
        for name, instrument in self.instruments.items():
            instrument.attach(self.learner, self.prepared.data)
            if self.stored is not None and name in self.stored["recorder"]["instruments"]:
                instrument.load_state_dict(self.stored["recorder"]["instruments"][name])

    @property
    def active(self) -> bool:
        return not self.ended and self.failure is None

    @contextmanager
    def by_itself(self) -> Iterator[None]:
        """What goes wrong within is this run's trouble alone."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  it is raised again where the run is left
            self.failure = error

    @property
    def learner(self) -> Learner:
        return self.prepared.learner

    @property
    def seed(self) -> int:
        return int(self.prepared.config["seed"])


@dataclass(frozen=True)
class _InStack:
    """An instrument, asked about one run: the k-th of the stack that it sees, or (None) the only one."""

    instrument: Instrument
    k: int | None

    @property
    def _run(self) -> tuple[int, ...]:
        return () if self.k is None else (self.k,)

    def find_nonfinite_step(self) -> int | None:
        return self.instrument.find_nonfinite_step(*self._run)

    def find_nonfinite_layer(self, step: int) -> tuple[WeightLayer, str] | None:
        return self.instrument.find_nonfinite_layer(step, *self._run)
