"""A figure is declared where it is drawn: the gallery finds the declarations in every module of this package.

    @figure("gradient_flow")                      a function of a Comparison that returns a Figure, or None without data
    @figure("curves")                             a generator of (name, function without arguments): one a factor, a run

A new figure is a new file beside this one; nothing lists them.
"""

import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, NoReturn, TypeVar

from matplotlib.figure import Figure

from multirun_analysis import figures
from multirun_analysis.compare.comparison import Comparison

MOST_FACTORS = 3  # that have figures of their own
Drawing = Callable[[], Figure | None]
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Declaration:
    """A figure, or a kind of them: its name, and whether it takes the interactions of factors as well."""

    name: str
    crossed: bool


def figure(name: str, *, crossed: bool = False) -> Callable[[F], F]:
    """Declare a function of a Comparison as a figure of this name, or a generator as a kind of figures.

    Args:
        crossed: whether the interactions are given as a second argument.
    """

    def declare(function: F) -> F:
        function.declaration = Declaration(name, crossed)  # type: ignore[attr-defined]
        return function

    return declare


def main_factors(comparison: Comparison) -> list[str]:
    """Return the factors that have figures of their own; a figure by one factor alone is by the first."""
    return list(comparison.by[:MOST_FACTORS])


def declared() -> Iterator[tuple[Declaration, Callable[..., Any]]]:
    """Yield each figure that a module of the package declares."""
    for module in pkgutil.iter_modules(figures.__path__, f"{figures.__name__}."):
        try:
            members = list(vars(import_module(module.name)).values())
        except Exception as error:  # noqa: BLE001  of one's own module, reported like a figure that fails
            yield Declaration(module.name.rpartition(".")[2], False), partial(fail, error)
            continue
        for member in members:
            declaration = getattr(member, "declaration", None)
            if isinstance(declaration, Declaration) and member.__module__ == module.name:
                yield declaration, member


def fail(error: Exception, *_: object) -> NoReturn:
    """Raise the error when a figure is asked for."""
    raise error
