"""Plot the weights and predictions of a run, from plain arrays; imports no torch."""

from collections.abc import Mapping
from math import ceil
from textwrap import wrap

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

TRAINED, UNTRAINED, BOUND = "#2a6f97", "#9a9a9a", "#c1440e"


def plot_weight_histograms(
    weights: Mapping[str, np.ndarray],
    before: Mapping[str, np.ndarray] | None,
    bounds: Mapping[str, float],
    note: str = "",
) -> Figure:
    """Plot a histogram of each layer's weights, over those before training.

    Args:
        weights: arrays of any shape, by layer.
        before: the same before training, or None.
        bounds: bound of the default initialisation, 1/sqrt(fan_in), by layer; marked at +-bound.
        note: addition to the title.
    """
    columns = 1 if len(weights) <= 3 else 2
    rows = ceil(len(weights) / columns)
    figure = Figure(figsize=(6, 1.7 * rows + 0.75), dpi=100)
    for i, (layer, values) in enumerate(weights.items()):
        axes = figure.add_subplot(rows, columns, i + 1)
        shown = [("trained" if before else "untrained", values, TRAINED if before else UNTRAINED)]
        if before:
            shown.insert(0, ("untrained", before[layer], UNTRAINED))
        shown = [(label, values[np.isfinite(values)], colour) for label, values, colour in shown]
        marks = [-bounds[layer], bounds[layer]] if layer in bounds else []
        spread = np.concatenate([values.ravel() for _, values, _ in shown] + [np.array(marks)])
        edges = np.linspace(spread.min(initial=0), spread.max(initial=0) or 1, 61)
        for label, kept, colour in shown:
            if len(kept):
                counts = np.histogram(kept, edges)[0] / len(kept)
                axes.stairs(counts, edges, fill=True, alpha=0.6, color=colour, label=label)
            else:
                axes.text(0.5, 0.5, f"{label}: no finite weight", ha="center", transform=axes.transAxes)
        for mark in marks:
            name = "±1/√fan_in" if mark > 0 else None
            axes.axvline(mark, color=BOUND, linestyle="--", linewidth=1, label=name)
        axes.set_title(layer, fontsize=11)
        axes.tick_params(labelsize=10)
        axes.set_yticks([])
        if i == 0:
            axes.legend(fontsize=10, frameon=False)
    title = [line for part in f"Share of the weights, {note}".strip(", ").splitlines() for line in wrap(part, 56)]
    figure.suptitle("\n".join(title), fontsize=12)
    figure.set_figheight(figure.get_figheight() + 0.2 * (len(title) - 1))
    inch = 1 / figure.get_figheight()
    figure.subplots_adjust(0.03, 0.35 * inch, 0.97, 1 - (0.6 + 0.2 * len(title)) * inch, wspace=0.1, hspace=0.55)
    return figure


def plot_heat_maps(layer: str, before: np.ndarray, after: np.ndarray) -> Figure:
    """Plot a layer's weights before and after training on one colour scale: a row per unit, a column per input.

    Args:
        before, after: (units, inputs, ...); kernel axes are flattened into the inputs.
    """
    pair = [weights.reshape(len(weights), -1) for weights in (before, after)]
    sizes = np.abs(np.concatenate([weights.ravel() for weights in pair]))
    sizes = sizes[np.isfinite(sizes)]
    limit = (float(np.quantile(sizes, 0.995)) if len(sizes) else 0.0) or 1.0  # outliers would make the rest pale
    height = float(np.clip(5 * len(pair[0]) / pair[0].shape[1], 1.2, 5))
    title = "\n".join(wrap(layer, 24) or [""])
    above = 0.4 + 0.18 * (title.count("\n") + 1)  # inches
    inch = 1 / (height + 0.5 + above)
    figure = Figure(figsize=(6, height + 0.5 + above), dpi=100)
    for i, (when, weights) in enumerate(zip(("untrained", "trained"), pair, strict=True)):
        axes = figure.add_axes((0.11 + 0.385 * i, 0.5 * inch, 0.345, height * inch))
        shown = axes.imshow(weights, "RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
        axes.set_title(f"{title}\n{when}", fontsize=11)
        if not np.isfinite(weights).any():
            axes.text(0.5, 0.5, "no finite weight", ha="center", transform=axes.transAxes)
        axes.tick_params(labelsize=9, labelleft=i == 0)
        axes.set_xlabel("input", fontsize=10)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        if i == 0:
            axes.set_ylabel("unit", fontsize=10)
    scale = figure.add_axes((0.86, 0.5 * inch, 0.02, height * inch))
    figure.colorbar(shown, cax=scale, extend="both").ax.tick_params(labelsize=9)
    return figure


def plot_predictions(parts: Mapping[str, tuple[np.ndarray, np.ndarray]], mean: float | Mapping[str, float]) -> Figure:
    """Plot predictions against targets, a panel per split, with the identity line and the constant baseline.

    Args:
        parts: targets (n,) and predictions (n,), by split.
        mean: mean of the training targets, the baseline's prediction; by split if the splits are of several runs.
    """
    means = mean if isinstance(mean, Mapping) else dict.fromkeys(parts, mean)
    figure = Figure(figsize=(3.5 * len(parts) + 0.2, 3.9), dpi=100, layout="constrained")
    targets = np.concatenate([targets for targets, _ in parts.values()])
    low, high = float(targets.min()), float(targets.max())
    margin = max(0.05 * (high - low), 1e-6 * max(abs(low), abs(high))) or 1.0
    for i, (split, (true, predicted)) in enumerate(parts.items()):
        axes = figure.add_subplot(1, len(parts), i + 1)
        kept = np.clip(predicted, low - margin, high + margin)  # points outside are drawn at the edge
        axes.plot(true, kept, ".", color=TRAINED, markersize=5, alpha=0.6)
        axes.plot([low, high], [low, high], color="black", linewidth=0.8)
        axes.axhline(means[split], color=BOUND, linestyle="--", linewidth=1, label="training mean")
        errors = [float(np.mean((true.astype(float) - p) ** 2)) for p in (predicted, means[split])]
        axes.set_title(f"{split}: MSE {errors[0]:.4g}\n(of the mean: {errors[1]:.4g})", fontsize=11)
        axes.set_xlim(low - margin, high + margin)
        axes.set_ylim(low - margin, high + margin)
        axes.set_xlabel("target", fontsize=10)
        if i == 0:
            axes.set_ylabel("prediction", fontsize=10)
        axes.tick_params(labelsize=10, labelleft=i == 0)
        axes.legend(fontsize=10, frameon=False, loc="upper left")
    return figure
