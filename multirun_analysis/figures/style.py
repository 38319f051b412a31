"""What the figures have in common: colours, marks, and limits that one exploding run does not spoil."""

from collections.abc import Hashable, Sequence

import numpy as np
from matplotlib.figure import Figure

# Okabe and Ito (2008): told apart with every kind of colour vision; dashes and marks tell levels apart as well.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7F6F00", "#000000")
DASHES = ("-", "--", ":", "-.", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (7, 3)))
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
GREY = "#8a8a8a"


def colours(levels: Sequence[Hashable]) -> dict[Hashable, str]:
    """A colour a level; numbers beyond the palette run from dark to light (viridis)."""
    if len(levels) <= len(COLOURS):
        return dict(zip(levels, COLOURS, strict=False))
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    shades = colormaps["viridis"](np.linspace(0, 0.92, len(levels)))
    return {level: to_hex(shade) for level, shade in zip(levels, shades, strict=True)}


def figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, laid out by itself."""
    return Figure(figsize=(width, height), dpi=110, layout="constrained")


def limits(curves: Sequence[np.ndarray], share: bool) -> tuple[float, float] | None:
    """Axis limits that show every run's end and almost all of the rest, though a few values explode.

    Args:
        curves: a run's values by epoch, each.
        share: whether they are fractions, which never explode.
    """
    finite = [curve[np.isfinite(curve)] for curve in curves]
    finite = [curve for curve in finite if len(curve)]
    if not finite:
        return None
    values = np.concatenate(finite)
    low, high = float(values.min()), float(values.max())
    if not share:
        ends = np.array([curve[-1] for curve in finite])
        inner = np.quantile(values, 0.9)
        cap = max(inner, np.quantile(ends, 0.75)) * 2.5
        high = min(high, cap) if cap > low else high
    margin = 0.04 * (high - low) or 0.05 * abs(high) or 0.05
    return low - margin, high + margin
