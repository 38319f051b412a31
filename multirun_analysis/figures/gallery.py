"""All figures of a comparison, each under a name, drawn one at a time as they are asked for."""

import ctypes
import inspect
import multiprocessing
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.interactions import Interaction
from multirun_analysis.figures.registry import Drawing, declared, fail
from paribus.record import RecordError, replace_file


@dataclass(frozen=True)
class Outcome:
    """Outcome of a drawing: a figure, none for want of data, or none because of some trouble."""

    name: str
    drawn: bool
    trouble: str | None = None


def gallery(comparison: Comparison, crossed: Sequence[Interaction]) -> dict[str, Drawing]:
    """Return by name, safe in a file name, what draws each figure; it gives None where the runs have no data for it.

    A declaration that fails is a drawing that fails: it is reported as one, and spoils no other figure.
    """
    found: dict[str, Drawing] = {}
    for declaration, function in declared():
        arguments = (comparison, crossed) if declaration.crossed else (comparison,)
        parts: list[tuple[str, Drawing]] = [(declaration.name, partial(function, *arguments))]
        if inspect.isgeneratorfunction(function):
            try:
                parts = list(function(*arguments))
            except Exception as error:  # noqa: BLE001
                parts = [(declaration.name, partial(fail, error))]
        for name, draw in parts:
            found[re.sub(r"[^\w.=,-]+", "_", name)[:120]] = draw
    return found


def save(figure: Figure, path: Path, pdf: bool) -> None:
    """Save a figure as PNG, and as PDF where asked for."""
    engine = figure.get_layout_engine()
    if engine is not None:  # laid out once, instead of in every one of the drawings that saving makes
        engine.execute(figure)
        figure.set_layout_engine("none")
    with replace_file(path.with_name(f"{path.name}.png")) as temporary:
        figure.savefig(temporary, format="png", pil_kwargs={"compress_level": 3})
    if pdf:
        with replace_file(path.with_name(f"{path.name}.pdf")) as temporary:
            figure.savefig(temporary, format="pdf")


@contextmanager
def drawing(drawings: Mapping[str, Drawing], folder: Path, pdf: bool) -> Iterator[list[Callable[[], Outcome]]]:
    """Draw into the folder; what is given, called one by one, waits for a figure and says what came of it.

    On Linux in a process a core, that work on while the caller does something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1  # elsewhere forking is not safe
    if cores == 1 or len(drawings) < 4:
        yield [partial(_draw, name, draw, folder, pdf) for name, draw in drawings.items()]
        return
    _INHERITED.update(drawings)  # by forking: what draws cannot be sent to a process
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(min(cores, 8), context, _follow_parent)
    try:
        yield [pool.submit(_draw_inherited, name, folder, pdf).result for name in drawings]
    finally:
        pool.shutdown(cancel_futures=True)  # where something went wrong, what has not begun is not waited for
        _INHERITED.clear()


_INHERITED: dict[str, Drawing] = {}


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end when it does, however that is (PR_SET_PDEATHSIG, Linux)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _draw_inherited(name: str, folder: Path, pdf: bool) -> Outcome:
    return _draw(name, _INHERITED[name], folder, pdf)


def _draw(name: str, draw: Drawing, folder: Path, pdf: bool) -> Outcome:
    try:
        figure = draw()
        if figure is not None:
            save(figure, folder / name, pdf)
    except RecordError as error:  # one run's file, which spoils no other figure
        return Outcome(name, False, str(error))
    except OSError:  # nothing can be written
        raise
    except Exception as error:  # noqa: BLE001  a mistake in one figure, which spoils no other either
        return Outcome(name, False, f"{type(error).__name__}: {error}")
    return Outcome(name, figure is not None)
