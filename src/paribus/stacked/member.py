"""One run of a stack: its parts, record and state."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import lightning

from paribus.data.module import InMemory
from paribus.instruments.calls import InstrumentCalls
from paribus.instruments.instrument import Instrument
from paribus.models.layers import WeightLayer
from paribus.run.prepare import Prepared
from paribus.training.checkpoints import Checkpoints, describe_loops
from paribus.training.learner import Learner
from paribus.training.recording import Recording


@dataclass
class Member:
    """A run of a stack.

    Attributes:
        calls: the time that its instruments have cost so far.
        stored: the checkpoint to resume from; None for a new run.
        ended: True once the record is finished, after a divergence or the last epoch.
        failure: the error that ended this run alone, such as one of its files. None: no error.
    """

    prepared: Prepared
    recording: Recording
    checkpoints: Checkpoints
    stored: dict[str, Any] | None = None
    ended: bool = False
    failure: Exception | None = None

    def __post_init__(self) -> None:
        self.calls = InstrumentCalls(self.instruments)

    @property
    def active(self) -> bool:
        """True while the run takes part in training: it has neither ended nor failed."""
        return not self.ended and self.failure is None

    @property
    def instruments(self) -> dict[str, Instrument]:
        """The run's own, for what happens once a run: histograms, files at the end, the layer that broke."""
        return self.prepared.instruments

    @property
    def learner(self) -> Learner:
        assert isinstance(self.prepared.learner, Learner)
        return self.prepared.learner

    @property
    def data(self) -> InMemory:
        assert isinstance(self.prepared.data, InMemory)
        return self.prepared.data

    @contextmanager
    def isolating_failures(self) -> Iterator[None]:
        """Keep an error in the block as this run's failure, so that the other runs of the stack continue."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  raised again when the run's summary is written
            self.failure = error

    def attach_instruments(self) -> None:
        """Attach the run's own instruments. Restore weights and instruments of a resumed run."""
        if self.stored is not None:
            self.learner.load_state_dict(self.stored["state_dict"])
        for name, instrument in self.instruments.items():
            instrument.attach(self.learner, self.data)
            if self.stored is not None and name in self.stored["recorder"]["instruments"]:
                instrument.load_state_dict(self.stored["recorder"]["instruments"][name])

    def open(self, epoch: int) -> None:
        """Open the record. That of a resumed run is cut to the `epoch` epochs of its checkpoint."""
        if self.stored is not None:
            self.recording.resume(self.stored["recorder"])
            self.checkpoints.resume(epoch, self.stored["callbacks"]["Checkpoints"])
        self.recording.open()
        self.checkpoints.open()

    def finish(self) -> None:
        """Finish the record as for a run alone."""
        epoch = len(self.recording.rows)
        self.recording.close()
        best = self.checkpoints.get_best_network() or self.learner.network.state_dict()
        for instrument in self.instruments.values():
            instrument.finish(self.recording.directory, best)
        last = (histogram for i in self.instruments.values() for histogram in i.histograms(epoch, last=True))
        self.recording.draw(epoch, last)
        self.recording.finish()
        self.ended = True

    def write_checkpoint(
        self,
        epoch: int,
        steps: int,
        optimizer_state: Mapping[str, Any],
        scheduler_state: Mapping[str, Any] | None,
        instrument_states: Mapping[str, Any],
    ) -> None:
        """Write last.ckpt, from which Lightning can resume the run alone.

        Args:
            epoch: number of epochs done; steps: optimizer steps an epoch.
            optimizer_state, scheduler_state: state_dict of the run's own optimizer and scheduler; None: no scheduler.
            instrument_states: states of the instruments that the stack shares, by name.
        """
        recorded = self.recording.get_state(stopped=self.recording.diverged is not None)
        instruments = {name: state for name, i in self.instruments.items() if (state := i.state_dict())}
        validates = bool(self.data.val and len(self.data.val[0]))
        scheduled = scheduler_state is not None
        self.checkpoints.write_last(
            {
                "epoch": epoch,
                "global_step": epoch * steps,
                "pytorch-lightning_version": lightning.__version__,
                "state_dict": OrderedDict((n, tensor.clone()) for n, tensor in self.learner.state_dict().items()),
                "loops": describe_loops(epoch, steps, validates, scheduled, self.learner.interval),
                "optimizer_states": [optimizer_state],
                "lr_schedulers": [scheduler_state] if scheduled else [],
                "recorder": {**recorded, "instruments": {**instruments, **instrument_states}},
            }
        )


@dataclass(frozen=True)
class MemberInstrument:
    """An instrument restricted to one run: the k-th of a stack, or the only run (k None)."""

    instrument: Instrument
    k: int | None

    @property
    def _index(self) -> tuple[int, ...]:
        return () if self.k is None else (self.k,)

    def find_nonfinite_step(self) -> int | None:
        return self.instrument.find_nonfinite_step(*self._index)

    def find_nonfinite_layer(self, step: int) -> tuple[WeightLayer, str] | None:
        return self.instrument.find_nonfinite_layer(step, *self._index)
