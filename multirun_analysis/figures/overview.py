"""Draw one run on one screen, after the screen of Cockpit (Schneider, Dangel & Hennig, 2021)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.figures import style
from multirun_analysis.figures.axes import Scale, choose_scale, set_scale
from multirun_analysis.figures.curvature import EDGE, descends_plainly
from multirun_analysis.figures.registry import figure
from multirun_analysis.figures.style import pick, plain

MOST_LAYERS = 8  # lines of a panel
MOST_ROWS = 4
LIGHTEST = 0.3  # share of its colour that the first layer's line has


@dataclass(frozen=True)
class Panel:
    """A panel of the overview.

    Attributes:
        title: what is drawn.
        columns: columns of metrics.csv, a line each; the first is solid.
        layers: instead of columns, quantity and tensor in layers.parquet: a line a layer.
        guide: a value to mark.
        rate: whether to mark 2 / learning rate where the optimizer is plain gradient descent.
    """

    title: str
    columns: tuple[str, ...] = ()
    layers: tuple[str, str] | None = None
    guide: float | None = None
    rate: bool = False


GROUPS: dict[str, tuple[str, Sequence[Panel]]] = {
    "steps and updates": (
        style.COLOURS[0],
        (
            Panel("learning rate", ("lr",)),
            Panel("update ratio (dashed: 1e-3)", layers=("update_ratio", "weight"), guide=1e-3),
            Panel("distance from the start / its norm", layers=("relative_distance", "weight")),
            Panel("loss spikes", ("train/loss_spikes",)),
        ),
    ),
    "gradients": (
        style.COLOURS[5],
        (
            Panel("norm", layers=("grad_norm", "weight")),
            Panel("share that batches agree on", layers=("grad_signal", "weight")),
            Panel("share of exact zeros", layers=("grad_zero_fraction", "weight")),
        ),
    ),
    "curvature": (
        style.COLOURS[2],
        (
            Panel("largest eigenvalue", ("curvature/largest_eigenvalue",), rate=True),
            Panel("stability margin (dashed: the edge)", ("curvature/stability_margin",), guide=EDGE),
            Panel("spectral norm", layers=("spectral_norm", "weight")),
            Panel("stable rank", layers=("stable_rank", "weight")),
        ),
    ),
    "performance": (
        style.COLOURS[3],
        (
            Panel("loss", ("val/loss", "train/loss")),
            Panel("accuracy", ("val/acc", "train/acc")),
            Panel("mean absolute error", ("val/mae",)),
            Panel("dead units", layers=("dead_fraction", "activation")),
        ),
    ),
}


@figure("overview")
def overview(comparison: Comparison) -> Figure | None:
    """Draw the overview of a run: steps and updates, gradients, curvature, performance, a column and a colour each.

    The horizontal axis has the optimizer steps done, on a log axis. None for more than one run.
    """
    study = comparison.study
    if len(study.runs) != 1:
        return None
    curves = study.curves.pivot(index="step", columns="metric", values="value").sort_index()
    layers = study.layers.assign(step=_to_steps(study.layers["epoch"], study.curves))
    drawn = {
        group: (colour, [(panel, lines) for panel in panels if (lines := list(_read(panel, curves, layers)))])
        for group, (colour, panels) in GROUPS.items()
    }
    drawn = {group: (colour, panels[:MOST_ROWS]) for group, (colour, panels) in drawn.items() if panels}
    if not drawn:
        return None
    [name] = study.runs.index
    first, last = float(curves.index.min()), float(curves.index.max())
    steps = Scale(first / 1.1, 1.1 * last, log=True)
    rows = max(len(panels) for _, panels in drawn.values())
    whole = style.figure(2.9 * len(drawn) + 0.3, 1.85 * rows + 1.1)
    grid = whole.add_gridspec(rows, len(drawn))
    for j, (group, (colour, panels)) in enumerate(drawn.items()):
        for i, (panel, lines) in enumerate(panels):
            axes = whole.add_subplot(grid[i, j])
            limits = 2 / curves["lr"] if panel.rate and descends_plainly(comparison, name) else None
            _draw(axes, panel, lines, colour, limits)
            set_scale(axes, steps, "x")
            title = panel.title + (" (dashed: 2 / rate)" if limits is not None else "")
            if i == 0:
                axes.set_title(f"{group}\n", fontsize=style.LARGE, color=colour, fontweight="bold", loc="left")
                axes.annotate(title, (0.5, 1), (0, 4), "axes fraction", textcoords="offset points",
                              ha="center", fontsize=style.SMALL)  # fmt: skip
            else:
                axes.set_title(title, fontsize=style.SMALL)
            if i == len(panels) - 1:
                axes.set_xlabel("optimizer step", fontsize=style.SMALL)
    status = study.runs["status"].iloc[0]
    style.add_title(whole, f"{plain(name, 100)} ({status})")
    style.add_note(whole, "light to dark: layers from the input to the output" if len(layers) else "",
                   "dotted: training" if {"train/loss", "val/loss"} <= set(curves) else "")  # fmt: skip
    return whole


def _to_steps(epochs: pd.Series, curves: pd.DataFrame) -> pd.Series:
    """Return the optimizer steps done at the end of each of these epochs; 0 before training."""
    steps = curves.drop_duplicates("epoch").set_index("epoch")["step"]
    return epochs.map(steps).fillna(0)


def _read(panel: Panel, curves: pd.DataFrame, layers: pd.DataFrame) -> Iterator[pd.Series]:
    """Yield the lines of a panel that have a value after the first step, by step."""
    if panel.layers is None:
        for column in panel.columns:
            found = curves[column].dropna() if column in curves else pd.Series(dtype=float)
            if np.isfinite(found).any() and (column != "train/loss_spikes" or found.any()):
                yield found.rename(column)
        return
    quantity, tensor = panel.layers
    mine = layers[(layers["quantity"] == quantity) & (layers["tensor"] == tensor) & (layers["step"] > 0)]
    wide = mine.pivot_table(index="step", columns="depth", values="value", dropna=False)
    for depth in pick(list(wide.columns), MOST_LAYERS):
        if np.isfinite(wide[depth]).any():
            yield wide[depth].dropna()


def _draw(axes: Axes, panel: Panel, lines: Sequence[pd.Series], colour: str, limits: pd.Series | None) -> None:
    """Draw the lines of a panel, and beside them `limits` by step."""
    values = np.concatenate([*lines, *([] if limits is None else [limits])]).astype(float)
    shares = panel.columns[:1] == ("val/acc",)
    scale = choose_scale(values[None], [] if panel.guide is None else [panel.guide], share=shares)
    set_scale(axes, scale)
    for i, line in enumerate(lines):
        shade = colour if panel.columns else _mix(colour, i, len(lines))
        dash = ":" if str(line.name).startswith("train/") and len(lines) > 1 else "-"
        axes.plot(line.index, scale.place(line), color=shade, ls=dash, lw=1.3, marker="." if len(line) == 1 else "")
    if limits is not None:
        axes.plot(limits.index, scale.place(limits), color=style.GREY, lw=1, ls=(0, (6, 3)))
    if panel.guide is not None:
        axes.axhline(panel.guide, color=style.GREY, lw=1, ls=(0, (6, 3)))


def _mix(colour: str, i: int, n: int) -> tuple[float, ...]:
    """Mix a colour with white: the last of n lines has the colour itself."""
    share = 1.0 if n == 1 else LIGHTEST + (1 - LIGHTEST) * i / (n - 1)
    return tuple(share * part + 1 - share for part in to_rgb(colour))
