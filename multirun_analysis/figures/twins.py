"""Draw where twins part: how runs with equal seeds that differ in one factor come apart, by epoch."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.twins import Parting, find_partings
from multirun_analysis.figures import style
from multirun_analysis.figures.registry import Drawing, figure, main_factors
from multirun_analysis.figures.style import GREY, count
from multirun_analysis.records.described import in_words


@figure("twins")
def by_factor(comparison: Comparison) -> Iterator[tuple[str, Drawing]]:
    """Yield the figure of each of the main factors."""
    for factor in main_factors(comparison):
        yield f"twins_by_{factor}", partial(draw_partings, comparison, factor)


def draw_partings(comparison: Comparison, factor: str) -> Figure | None:
    """Draw the disagreement of twins, and the distance of their weights, by epoch. None where there are no twins.

    A line a level: the mean over its pairs with the best level; the band spans all pairs. Dashed: two seeds of one
    setting, as the disagreement that comes without any change.
    """
    found = find_partings(comparison, factor)
    if found is None:
        return None
    shown = found.levels[: style.MOST_ENTRIES]
    colours = style.colours([parting.level for parting in shown])
    whole = style.figure(8.6 + 2.2, 3.7)
    left, right = whole.subplots(1, 2)
    for parting in shown:
        _draw_line(left, parting, 100 * parting.disagreement if found.classes else parting.disagreement,
                   colours[parting.level])  # fmt: skip
        _draw_line(right, parting, parting.distance, colours[parting.level])
    if found.reference is not None:
        scale = 100 if found.classes else 1
        _draw_line(left, found.reference, scale * found.reference.disagreement, GREY, "--")
        _draw_line(right, found.reference, found.reference.distance, GREY, "--")
    what = "samples with another class, %" if found.classes else "rms difference, unit of the target"
    for axes, title, label in ((left, "Predictions", what), (right, "Weights", "distance (2-norm, estimated)")):
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("epoch", fontsize=10)
        axes.set_ylabel(label, fontsize=10)
        axes.set_ylim(bottom=0)
    entries = [
        (Line2D([], [], color=colours[p.level]), f"{in_words(p.level)} ({count(p.pairs, 'pair')})") for p in shown
    ]
    if found.reference is not None:
        dashed = Line2D([], [], color=GREY, linestyle="--")
        entries.append((dashed, f"two seeds ({count(found.reference.pairs, 'pair')})"))
    style.add_legend(whole, {f"{factor}, from {in_words(found.base)}": entries})
    style.add_title(whole, f"Where twins part: equal seeds, another {factor}")
    missing = "" if found.reference is not None else "two seeds of one setting share no split, and are not shown"
    left_out = len(found.levels) - len(shown)
    style.add_note(
        whole, "line: mean over pairs", "band: all pairs", missing, f"{left_out} more levels" if left_out else ""
    )
    return whole


def _draw_line(axes: Axes, parting: Parting, values: np.ndarray, colour: str, dash: str = "-") -> None:
    """Draw the mean of values (pairs, E) over pairs, and the band of all; nothing where none is known."""
    known = values[np.isfinite(values).all(axis=1)]
    if len(known):
        axes.plot(parting.epochs, known.mean(axis=0), color=colour, linestyle=dash)
        axes.fill_between(parting.epochs, known.min(axis=0), known.max(axis=0), color=colour, alpha=0.15, linewidth=0)
