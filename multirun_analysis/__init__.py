"""Tables, comparisons, figures and a page from the records of runs: what did the change do, and how sure are we?

from multirun_analysis import load_runs
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multirun_analysis.records.load import Study, load_runs

__all__ = ["Study", "load_runs"]


def __getattr__(name: str) -> Any:
    """Import pandas when something is asked for: the command says what it is for before that."""
    if name in __all__:
        from multirun_analysis.records import load

        return getattr(load, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
