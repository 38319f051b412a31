"""The instruments of a stack: those that measure all its runs at once, and each run's own."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from paribus.instruments.calls import InstrumentCalls
from paribus.instruments.instrument import Instrument
from paribus.loggers.histogram import Histogram
from paribus.stacked.member import Member, MemberInstrument
from paribus.stacked.view import StackProbes, StackView


class StackInstruments(InstrumentCalls):
    """The instruments of K runs that are trained as one.

    Args:
        instruments: instruments that measure all runs at once, by name.
        members: the runs, whose own instruments do what is done once a run.
    """

    def __init__(self, instruments: Mapping[str, Instrument], members: Sequence[Member]):
        super().__init__(instruments)
        self.members = members
        self._shared_out = (dict(self.seconds), 0.0)  # what the runs have been charged so far

    def attach(self, view: StackView) -> None:
        """Attach the shared instruments, and give them the states of resumed runs."""
        probes = StackProbes([member.data for member in self.members])
        logging.disable(logging.INFO)  # each run's own instruments have logged the same already
        try:
            for instrument in self.instruments.values():
                instrument.attach(view, probes)  # type: ignore[arg-type]
        finally:
            logging.disable(logging.NOTSET)
        stored = [m.stored["recorder"]["instruments"] for m in self.members if m.stored is not None]
        for name, instrument in self.instruments.items():
            if stored and all(name in states for states in stored):
                instrument.load_state_dict(*(states[name] for states in stored))

    def get_states(self, k: int) -> dict[str, Any]:
        """Return the states of the shared instruments for the checkpoint of the k-th run, by name."""
        return {name: state for name, i in self.instruments.items() if (state := i.state_dict(k))}

    def list_own(self, k: int) -> list[Instrument]:
        """Return the instruments of the k-th run that have no counterpart for the whole stack."""
        return [instrument for name, instrument in self.members[k].instruments.items() if name not in self.instruments]

    def list_finders(self, k: int) -> list[MemberInstrument]:
        """Return all instruments of the k-th run, which may know where it became non-finite."""
        shared = [MemberInstrument(instrument, k) for instrument in self.instruments.values()]
        return shared + [MemberInstrument(instrument, None) for instrument in self.list_own(k)]

    def select_histograms(self, k: int, stacked: Sequence[Histogram], epoch: int) -> Iterator[Histogram]:
        """Yield the histograms of the k-th run, out of those of the stack and from its own instruments."""
        yield from (histogram.select_run(k) for histogram in stacked)
        for instrument in self.list_own(k):
            yield from instrument.histograms(epoch, last=False)

    def charge_members(self) -> None:
        """Charge each run its share of the time that was spent since the last call."""
        seconds, at_ends = self._shared_out
        for member in self.members:
            for name, spent in self.seconds.items():
                member.calls.seconds[name] += (spent - seconds[name]) / len(self.members)
            member.calls.end_seconds += (self.end_seconds - at_ends) / len(self.members)
        self._shared_out = dict(self.seconds), self.end_seconds
