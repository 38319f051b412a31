"""Train the same network many times, change one thing, and see what it did.

The names below are public. Their modules, and torch with them, are imported when a name is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paribus.data.module import Images as Images
    from paribus.data.module import InMemory as InMemory
    from paribus.errors import RunFailed as RunFailed
    from paribus.errors import UserError as UserError
    from paribus.instruments.instrument import Instrument as Instrument
    from paribus.instruments.measurement import Measured as Measured
    from paribus.loggers.histogram import Histogram as Histogram
    from paribus.run.load import Run as Run
    from paribus.run.load import load_run as load_run

    __version__: str

_MODULES = {
    "Histogram": "loggers.histogram",
    "Images": "data.module",
    "InMemory": "data.module",
    "Instrument": "instruments.instrument",
    "Measured": "instruments.measurement",
    "Run": "run.load",
    "RunFailed": "errors",
    "UserError": "errors",
    "load_run": "run.load",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # takes longer than the rest of `import paribus`

        return version("paribus")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if _MODULES[name] != "errors":
        from paribus.private_names import import_lightning

        import_lightning()  # in two thirds of the time that its plain import takes
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_MODULES, "__version__"]
