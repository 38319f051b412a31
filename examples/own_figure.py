"""A figure of your own: copy this file into multirun_analysis/figures/, and every analysis draws it."""

from matplotlib.figure import Figure

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.figures import style
from multirun_analysis.figures.registry import figure


@figure("turned_weights")
def draw_turned_weights(comparison: Comparison) -> Figure | None:
    """Draw the cosine between weights and initial weights by layer, a line a run; None where it was not measured."""
    layers = comparison.study.layers
    turned = layers[layers["quantity"] == "weight_cosine"]
    if turned.empty:
        return None
    last = turned[turned["epoch"] == turned.groupby("run", observed=True)["epoch"].transform("max")]
    whole = style.figure(6, 4)
    axes = whole.subplots()
    for _, run in last.groupby("run", observed=True):
        axes.plot(run["depth"], run["value"], color=style.COLOURS[0], alpha=0.5)
    axes.set(xlabel="layer", ylabel="cosine between weights at the end and at first")
    return whole
