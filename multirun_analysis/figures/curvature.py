"""Draw the curvature of the loss by epoch, and the spectra of weights."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.figures import style
from multirun_analysis.figures.axes import choose_scale, set_epochs, set_scale
from multirun_analysis.figures.encoding import encode_main
from multirun_analysis.figures.layers import by_layer, draw_panels, of
from multirun_analysis.figures.registry import figure
from multirun_analysis.figures.style import count

EDGE = 1.0  # margin from which a step as long as the last one no longer lowers the loss
ROOM = 1e4


@figure("stability_margin")
def stability_margin(comparison: Comparison, factor: str | None = None) -> Figure | None:
    """Draw how near each run is to the edge of stability by epoch, a line a run; 1 dashed.

    Two panels: the margin along the last update, rate x critical sharpness / 2; and rate x largest eigenvalue / 2 of
    runs with plain gradient descent, of which alone it says where the edge is.
    """
    encoding = encode_main(comparison, factor)
    margins = {"along the last update": encoding.curves("curvature/stability_margin")}
    eigenvalues, rates = encoding.curves("curvature/largest_eigenvalue"), encoding.curves("lr")
    eigenvalues = eigenvalues[[descends_plainly(comparison, str(run)) for run in eigenvalues.index]]
    if not eigenvalues.empty:
        margins["learning rate x largest eigenvalue / 2 (sgd)"] = eigenvalues * rates.reindex_like(eigenvalues) / 2
    margins = {title: values.dropna(axis="columns", how="all") for title, values in margins.items()}
    margins = {title: values for title, values in margins.items() if values.size}
    if not margins:
        return None
    whole, (panels,) = style.create_panels([len(margins)], 4.2, 3.6)
    for axes, (title, values) in zip(panels, margins.items(), strict=True):
        scale = choose_scale(values.to_numpy(), [EDGE], log=True, room=ROOM)
        set_scale(axes, scale)
        set_epochs(axes, values.columns)
        for run, row in values.iterrows():
            found, look = row.dropna(), encoding.runs.loc[str(run)]
            axes.plot(found.index, scale.place(found), color=look["colour"], ls=look["dash"], lw=1, alpha=0.8,
                      marker="." if len(found) <= style.MOST_ENTRIES else "")  # fmt: skip
        axes.axhline(EDGE, color=style.GREY, linewidth=1, linestyle=(0, (6, 3)))
        axes.set_title(title, fontsize=10)
    by = f", by {encoding.factor}" if encoding.factor else ""
    present = max(map(len, margins.values()))
    style.add_title(whole, f"Stability margin{by} ({count(present, 'run')}; dashed: the edge of stability)")
    style.add_legend(whole, encoding.legend(marks=False))
    style.add_note(whole, "a line: a run", _describe_left_out(margins), *encoding.describe_broken())
    return whole


def descends_plainly(comparison: Comparison, run: str) -> bool:
    """Return whether a run's optimizer is plain gradient descent, which is unstable above an eigenvalue of 2 / rate."""
    described = comparison.study.described[run]
    return described.choices.get("optim") == "sgd" and not described.flat.get("optim.momentum")


def _describe_left_out(margins: dict[str, pd.DataFrame]) -> str:
    """Say of how many measurements the record has no value."""
    missing = sum(int(np.isnan(values.to_numpy()).sum()) for values in margins.values())
    return f"{count(missing, 'value')} could not be measured, or not in this epoch" if missing else ""


@figure("spectral_norms")
def spectral_norms(comparison: Comparison, factor: str | None = None) -> Figure | None:
    """Draw the largest singular value of the layers' weights by epoch, on a log axis."""
    frames = by_layer(of(comparison.study.layers, "spectral_norm", "weight"))
    return draw_panels(comparison, factor, [frames], "Largest singular value of weights", "spectral norm", log=True)


@figure("stable_ranks")
def stable_ranks(comparison: Comparison, factor: str | None = None) -> Figure | None:
    """Draw the stable rank of the layers' weights, ‖W‖_F² / ‖W‖₂², by epoch, on a log axis."""
    frames = by_layer(of(comparison.study.layers, "stable_rank", "weight"))
    return draw_panels(comparison, factor, [frames], "Stable rank of weights", "stable rank", log=True)
