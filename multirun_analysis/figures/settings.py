"""The metric over what was tried: over learning rates, over all factors, over two of them."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import partial
from math import ceil
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.interactions import Interaction
from multirun_analysis.compare.metric import Metric
from multirun_analysis.figures import style
from multirun_analysis.figures.axes import SPANNING, Slot, choose_scale, spans_decades
from multirun_analysis.figures.encoding import MISSING, encode, outcomes
from multirun_analysis.figures.registry import MOST_FACTORS, Drawing, figure
from multirun_analysis.figures.style import BROKEN, LARGE, SMALL, count, pick, plain
from multirun_analysis.records.described import in_words, order
from paribus import record

LR = "optim.lr"
MOST_CONTEXTS = 6
MOST_NUMBERS = 240  # cells of heat maps that have their numbers in them


@figure("learning_rate")
def lr_against(comparison: Comparison) -> Figure | None:
    """Draw the metric, and the stability of training, over the learning rate: a dot a run, lines through means."""
    if LR not in comparison.factors:
        return None
    rest = [factor for factor in comparison.factors if factor != LR]
    encoding = encode(comparison, rest[0] if rest else None, along=LR)
    settings = comparison.settings.loc[encoding.runs.index]
    lrs = pd.to_numeric(settings[LR], errors="coerce").astype(float)
    lrs = lrs[lrs > 0]
    if lrs.nunique() < 2:
        return None
    look, line = encoding.runs.loc[lrs.index], _numbered(settings.loc[lrs.index, rest])[0]
    metrics = [comparison.metric]
    if "stability_score" in comparison.study.runs and comparison.metric.name != "stability_score":
        metrics.append(Metric("stability_score"))
    whole, beyond = style.figure(2 + 4 * len(metrics), 4.2), list[str]()
    for axes, metric in zip(whole.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
        runs = outcomes(comparison, metric).loc[lrs.index].assign(lr=lrs, line=line)
        scale = choose_scale(runs[["value"]].to_numpy(), share=metric.is_share, low_is_bad=metric.sign > 0)
        slot = Slot(axes, scale, "y", metric.sign <= 0, runs["end"])
        firsts = look[["colour", "dash"]].groupby(runs["line"]).first()
        means = runs.groupby(["line", "lr"])["value"].mean().unstack()
        for colour, dash, mean in zip(firsts["colour"], firsts["dash"], means.to_numpy(), strict=True):
            there = np.isfinite(mean)
            axes.plot(means.columns[there], scale.place(mean[there]), color=colour, ls=dash, lw=1.4)
        for mark, some in look.groupby("mark"):
            y = scale.place(runs["value"][some.index])
            axes.scatter(lrs[some.index], y, marker=str(mark), c=some["colour"].to_list(), s=22, lw=0, gid="runs")
        slot.draw_marks(runs, "lr", look["colour"])
        axes.set_xscale("log")
        ticks = _apart(sorted(lrs.unique()))
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("learning rate")
        axes.set_title(plain(metric.name), fontsize=LARGE)
        if n := scale.count_beyond(runs["value"]):
            beyond.append(f"{n} of {metric.name} beyond the axis lie at its edge")
    without = len(encoding.runs) - len(lrs)
    less = f"{count(without, 'run')} without a positive learning rate not shown" if without else ""
    style.add_title(whole, f"Learning rate ({count(len(lrs), 'run')}, a dot each; lines: means over seeds)")
    if rest:
        style.add_legend(whole, encoding.legend())
    style.add_note(whole, *encoding.describe_broken(), *beyond, less)
    return whole


@figure("parallel")
def parallel_coordinates(comparison: Comparison) -> Figure | None:
    """Draw a line for each run through its levels to its figure, the best at the top; broken ones end in a slot."""
    metric = comparison.metric
    runs = outcomes(comparison, metric)
    settings = comparison.settings.loc[runs.index]
    known = settings["cell"] >= 0
    runs, settings = runs[known], settings[known]
    if not comparison.factors or runs.empty:
        return None
    ends, k = runs["end"].to_numpy(), len(comparison.factors)
    goodness, ticks = _goodness(runs["value"].to_numpy(), metric)
    slots = {end: -0.12 * i for i, end in enumerate([record.DIVERGED, MISSING], 1) if end in ends}
    last = np.where(np.isnan(goodness), runs["end"].map(slots).astype(float), goodness)
    width = min(1.9, 16 / (k + 1))  # inches from one axis to the next
    whole = style.figure(max(4.5, width * (k + 1) + 0.4), 4.6)
    axes = whole.subplots()
    # those of one level side by side, the better above
    apart = pd.Series(last).rank(method="first").to_numpy() / len(last) - 0.5
    columns, room = [], int(12 * width) - 5  # characters from one axis to the next
    for i, factor in enumerate(comparison.factors):
        places = _places(order(settings[factor]))
        at = np.array([places[level] for level in settings[factor]])
        columns.append(at + min(0.05, 0.4 / len(places)) * apart)
        _draw_axis(axes, i, {in_words(level): at for level, at in places.items()}, room)
    x = np.broadcast_to(np.arange(k + 1.0), (len(runs), k + 1))
    lines = np.stack([x, np.stack([*columns, last], axis=1)], axis=-1)
    shades = colormaps["viridis"](0.88 * np.nan_to_num(goodness))
    for end, colour, dash in ((MISSING, style.GREY, ":"), (record.DIVERGED, BROKEN, "--"), (record.COMPLETED, "", "-")):
        which = np.flatnonzero(ends == end)
        which = which[np.argsort(last[which])]  # the best on top
        thick = 1.3 if len(runs) <= 200 else 0.6
        axes.add_collection(
            LineCollection(list(lines[which]), colors=colour or shades[which], ls=dash, lw=thick, gid=end)
        )
    _draw_axis(axes, k, ticks | slots, room)
    axes.set_xlim(-0.45, k + 0.55)
    axes.set_ylim(min([0, *slots.values()]) - 0.06, 1.06)
    axes.set_xticks(range(k + 1), [plain(name, room) for name in (*comparison.factors, metric.name)])
    axes.tick_params(length=0)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    dashes = {record.DIVERGED: "dashed", MISSING: "dotted"}
    style.add_title(whole, f"{metric.name} of {count(len(runs), 'run')} by what was tried")
    style.add_note(whole, *(f"{(ends == end).sum()} {end} ({dashes[end]})" for end in slots),
                   f"colour: {'best' if metric.sign else 'highest'} is yellow")  # fmt: skip
    return whole


@figure("two_factors", crossed=True)
def of_pairs(comparison: Comparison, crossed: Sequence[Interaction]) -> Iterator[tuple[str, Drawing]]:
    """Yield the heat maps of factors that were crossed."""
    for a, b in list(dict.fromkeys(interaction.factors for interaction in crossed))[:MOST_FACTORS]:
        yield f"two_factors_{a}_{b}", partial(two_factors, comparison, a, b)


def two_factors(comparison: Comparison, a: str, b: str) -> Figure | None:
    """Draw a heat map of means over seeds, `a` downwards and `b` to the right; one for each context of other factors.

    Completed runs alone have a part in a mean; how many others there are is said in the cell. Hatched: no run.
    """
    metric = comparison.metric
    runs = outcomes(comparison, metric)
    settings = comparison.settings.loc[runs.index].query("cell >= 0").sort_values("cell", kind="stable")
    if a == b or settings.empty:
        return None
    others = [factor for factor in comparison.factors if factor not in (a, b)]
    contexts, found = _numbered(settings[others])
    shown = found[:MOST_CONTEXTS]
    rows, columns = order(settings[a]), order(settings[b])
    places = {"row": [rows.index(level) for level in settings[a]], "column": [columns.index(x) for x in settings[b]]}
    table = runs.loc[settings.index].assign(context=contexts, **places)
    table = table[table["context"] < MOST_CONTEXTS]
    table = table.assign(**{end: table["end"] == end for end in (record.DIVERGED, MISSING)})
    cells = table.groupby(["context", "row", "column"], as_index=False).agg(
        mean=("value", "mean"), n=("end", "size"), diverged=("diverged", "sum"), missing=("missing", "sum")
    )
    values = cells["mean"].dropna().to_numpy()
    norm = (LogNorm if spans_decades(values, metric.is_share) else Normalize)(
        *((values.min(), values.max()) if len(values) else (1, 2))
    )
    cmap = colormaps["viridis_r" if metric.sign < 0 else "viridis"]
    numbers = len(rows) * len(columns) * len(shown) <= MOST_NUMBERS
    width, height = (1.0 if numbers else 0.2) * len(columns) + 1.2, (0.6 if numbers else 0.2) * len(rows) + 0.8
    across = max(1, min(len(shown), int(16 / width)))
    down = ceil(len(shown) / across)
    across = ceil(len(shown) / down)
    whole = style.figure(min(max(6.0, across * width + 1), 24), min(max(2.6, down * height + 1), 24))
    panels = list(whole.subplots(down, across, squeeze=False).flat)
    for axes in panels[len(shown) :]:
        axes.remove()
    for k, (axes, context) in enumerate(zip(panels, shown, strict=False)):
        _heat(axes, cells[cells["context"] == k], (len(rows), len(columns)), norm, cmap, metric if numbers else None)
        words = ", ".join(f"{other}={in_words(level)}" for other, level in zip(others, context, strict=True))
        axes.set_title(plain(words, int(11 * width)), size=SMALL + 1)
        axes.set_xticks(*_some(columns, numbers), rotation=0 if numbers else 90)
        axes.set_yticks(*_some(rows, numbers))
        axes.set_xlabel(plain(b))
        axes.set_ylabel(plain(a))
    if len(values):
        from matplotlib.cm import ScalarMappable

        bar = whole.colorbar(ScalarMappable(norm, cmap), ax=panels[: len(shown)], label=plain(metric.name), shrink=0.9)
        if metric.is_share:
            bar.ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    notes = ["hatched: no run"] if len(cells) < len(rows) * len(columns) * len(shown) else []
    if len(found) > len(shown):
        notes.append(f"{len(found) - len(shown)} more settings of {', '.join(others)} are not shown")
    style.add_title(whole, f"{metric.name} by {a} and {b}: mean over seeds ({count(len(table), 'run')})")
    style.add_note(whole, *encode(comparison, None).describe_broken(marked=""), *notes)
    return whole


def _apart(ticks: Sequence[float]) -> list[float]:
    """Pick those of ascending numbers that have room for a label on a log axis."""
    kept = [ticks[0]]
    room = 0.11 * np.log(ticks[-1] / ticks[0])
    for tick in ticks[1:]:
        if np.log(tick / kept[-1]) > room:
            kept.append(tick)
    return kept


def _numbered(frame: pd.DataFrame) -> tuple[list[int], list[tuple[Hashable, ...]]]:
    """Number the different rows of a frame, which may have no columns; return the numbers and those rows."""
    rows = [tuple(row) for row in frame.to_numpy(dtype=object).tolist()]
    found = {row: i for i, row in enumerate(dict.fromkeys(rows))}
    return [found[row] for row in rows], list(found)


def _goodness(values: np.ndarray, metric: Metric) -> tuple[np.ndarray, dict[str, float]]:
    """Scale values from 0, the worst (the lowest, where none is better), to 1; return them and ticks by their text."""
    log = spans_decades(values, metric.is_share)
    places = np.log10(values) if log else values
    finite = places[np.isfinite(places)]
    if not len(finite):
        return np.full(len(values), np.nan), {}
    low, span = finite.min(), np.ptp(finite)
    marks = np.linspace(low, low + span, 6 if span else 1)

    def good(x: np.ndarray) -> np.ndarray:
        share = (x - low) / span if span else np.where(np.isnan(x), np.nan, 0.5)
        return 1 - share if metric.sign < 0 else share

    names = [metric.show(mark) if metric.is_share else f"{mark:.3g}" for mark in (10**marks if log else marks)]
    return good(places), dict(zip(names, good(marks).tolist(), strict=True))


def _places(levels: Sequence[Hashable]) -> dict[Hashable, float]:
    """Place levels between 0 and 1: numbers that span much by their logarithm, all others evenly."""
    numbers = [x for x in levels if isinstance(x, int | float) and not isinstance(x, bool) and 0 < x < np.inf]
    if len(numbers) == len(levels) and numbers[-1] > SPANNING * numbers[0]:
        logs = np.log(numbers)
        return dict(zip(levels, ((logs - logs[0]) / (logs[-1] - logs[0])).tolist(), strict=True))
    return dict(zip(levels, np.linspace(0, 1, len(levels)).tolist() if len(levels) > 1 else [0.5], strict=True))


def _draw_axis(axes: Axes, x: int, marks: Mapping[str, float], room: int) -> None:
    """Draw an upright axis and the text of its marks, of so many characters, as far as there is room."""
    axes.plot([x, x], [0, 1], color="black", lw=1, zorder=3)
    box = {"facecolor": "white", "alpha": 0.85, "lw": 0, "pad": 0.8}
    last = -np.inf
    for text, at in sorted(marks.items(), key=lambda mark: mark[1]):
        if at - last > 0.045:
            axes.text(x + 0.03, at, plain(text, room), size=SMALL, va="center", zorder=4, bbox=box)
            last = at


def _heat(
    axes: Axes, cells: pd.DataFrame, shape: tuple[int, int], norm: Normalize, cmap: Colormap, metric: Metric | None
) -> None:
    """Draw one heat map.

    Args:
        metric: in whose words the cells have their numbers; None: they have none.
    """
    colours = np.full((*shape, 4), 1.0)
    there = np.zeros(shape, bool)
    there[cells["row"], cells["column"]] = True
    shades = cmap(norm(cells["mean"].to_numpy()))
    shades[cells["mean"].isna()] = (0.3, 0.3, 0.3, 1)
    colours[cells["row"], cells["column"]] = shades
    axes.imshow(colours, aspect="auto", interpolation="nearest")
    empty = [Rectangle((j - 0.5, i - 0.5), 1, 1) for i, j in np.argwhere(~there)]
    axes.add_collection(PatchCollection(empty, facecolor="none", edgecolor="#b0b0b0", hatch="///", lw=0, gid="no run"))
    if metric is None:
        broken = cells[cells["diverged"] > 0]
        axes.scatter(broken["column"], broken["row"], marker="x", s=14, color=BROKEN, gid=record.DIVERGED)
        return
    dark = shades[:, :3] @ (0.299, 0.587, 0.114) < 0.5
    rows: list[dict[str, Any]] = cells.to_dict("records")  # type: ignore[assignment]
    for row, black in zip(rows, ~dark, strict=True):
        said = [metric.show(row["mean"])] + [
            f"{end} {row[end]}/{row['n']}" for end in (record.DIVERGED, MISSING) if row[end]
        ]
        text, colour = "\n".join(filter(None, said)), "black" if black else "white"
        axes.text(row["column"], row["row"], text, size=SMALL, ha="center", va="center", color=colour)


def _some(levels: Sequence[Hashable], every: bool) -> tuple[list[int], list[str]]:
    """Choose ticks for levels, not more than there is room for."""
    places = list(range(len(levels))) if every else pick(range(len(levels)), 20)
    return places, [plain(in_words(levels[i]), 12) for i in places]
