"""Measure a network while it trains. An instrument of your own is a subclass of Instrument; see instrument.py."""

from paribus.instruments.instrument import Instrument
from paribus.instruments.measurement import Measured

__all__ = ["Instrument", "Measured"]
