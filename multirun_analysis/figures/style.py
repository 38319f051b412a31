"""Define the style of all figures: colours, dashes, marks, sizes, and the text around the plots."""

import textwrap
from collections.abc import Hashable, Mapping, Sequence
from math import ceil
from typing import TypeVar

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from multirun_analysis.records.described import in_words

T = TypeVar("T")
# Okabe and Ito (2008): distinguishable with every kind of colour vision; dashes and marks distinguish levels as well.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7F6F00", "#000000")
DASHES = ("-", "--", ":", "-.", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (7, 3)))
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++", "oo", "--")
GREY, BROKEN = "#8a8a8a", COLOURS[5]
SMALL, LARGE = 9, 11  # points
MOST_ENTRIES = 12  # of a legend, and panels of a figure


def colours(levels: Sequence[Hashable]) -> dict[Hashable, str]:
    """Assign a colour to each level; levels beyond the palette run from dark to light (viridis)."""
    if len(levels) <= len(COLOURS):
        return dict(zip(levels, COLOURS, strict=False))
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    shades = colormaps["viridis"](np.linspace(0, 0.92, len(levels)))
    return {level: to_hex(shade) for level, shade in zip(levels, shades, strict=True)}


def figure(width: float, height: float) -> Figure:
    """Create an empty figure of this size in inches, with automatic layout."""
    return Figure(figsize=(width, height), dpi=110, layout="constrained")


def create_panels(sizes: Sequence[int], width: float = 2.9, height: float = 2.2) -> tuple[Figure, list[list[Axes]]]:
    """Create a figure with a grid of panels over epochs, up to four in a row, and room for a legend beside them.

    Args:
        sizes: the number of panels of each group; a group begins a row of its own.
    """
    most = max(sizes)
    columns = 2 if most == 4 else min(most, 4 if most in (7, 8) or most > 9 else 3)
    rows = sum(ceil(size / columns) for size in sizes)
    whole = figure(width * max(columns, 2) + 2.0, height * rows + 1.0)
    grid = whole.add_gridspec(rows, columns)
    groups, row = [], 0
    for size in sizes:
        group = [whole.add_subplot(grid[row + i // columns, i % columns]) for i in range(size)]
        for axes in group[max(0, size - columns) :]:
            axes.set_xlabel("epoch", fontsize=10)
        groups.append(group)
        row += ceil(size / columns)
    return whole, groups


def shorten(text: object, longest: int = 44) -> str:
    """Cut the middle out of long text: names that are alike mostly differ at an end."""
    name = " ".join(str(text).split())
    if len(name) <= longest:
        return name
    half = (longest - 1) // 2
    return f"{name[: longest - 1 - half]}…{name[len(name) - half :]}"


def plain(text: object, longest: int = 44) -> str:
    """Return text that matplotlib shows as it is: no mathtext, no label hidden by its underscore; a long one cut."""
    name = shorten(text, longest)
    return (" " if name.startswith("_") else "") + name.replace("$", r"\$")


def count(number: int, noun: str) -> str:
    """Write a number with its noun in the singular or plural."""
    return f"{number} {noun}{'s' if number != 1 else ''}"


def pick(members: Sequence[T], most: int = MOST_ENTRIES) -> list[T]:
    """Pick at most so many members, evenly spaced, both ends included."""
    if len(members) <= most:
        return list(members)
    return [members[int(i)] for i in np.linspace(0, len(members) - 1, max(most, 1)).round()]


def add_title(figure: Figure, text: str) -> None:
    """Add a title above the plots, wrapped to the width of the figure."""
    wrapped = textwrap.fill(plain(text, 400), int(11.5 * figure.get_figwidth()))
    figure.suptitle(wrapped, fontsize=LARGE, x=0.01, ha="left")


def add_note(figure: Figure, *parts: str) -> None:
    """Add a note below the plots from those parts that are not empty."""
    text = "; ".join(filter(None, parts))
    if text:
        wrapped = textwrap.fill(plain(text, 1000), int(14 * figure.get_figwidth()))
        figure.supxlabel(wrapped, fontsize=SMALL, x=0.01, ha="left")


def add_legend(figure: Figure, sections: Mapping[str, Sequence[tuple[Artist, Hashable]]]) -> None:
    """Add a legend beside the plots: by heading, an entry for each level; of very many levels a selection."""
    blank = Line2D([], [], linestyle="none")
    handles: list[Artist] = []
    labels: list[str] = []
    sections = {heading: entries for heading, entries in sections.items() if entries}
    sizes = sorted(map(len, sections.values()))
    for heading, entries in sections.items():
        others = sum(sizes) - len(entries)
        shown = pick(
            entries, max(MOST_ENTRIES - others, MOST_ENTRIES // 2) if len(entries) == sizes[-1] else len(entries)
        )
        if heading:
            handles.append(blank)
            labels.append(f"{plain(heading, 46)}:")
        handles += [handle for handle, _ in shown]
        labels += [plain(in_words(level), 48) for _, level in shown]
        if len(shown) < len(entries):
            handles.append(blank)
            labels.append(f"… and {len(entries) - len(shown)} more")
    if handles:
        figure.legend(
            handles, labels, loc="outside right center", fontsize=SMALL, handlelength=3.2, frameon=False,
            alignment="left",
        )  # fmt: skip
        figure.set_figheight(max(figure.get_figheight(), 0.2 * len(handles) + 1.0))
        wide = 0.075 * max(map(len, labels)) + 0.7  # inches
        figure.set_figwidth(figure.get_figwidth() + max(0, wide - 2.3))
