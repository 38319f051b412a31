"""Draw what each level is worth against what it may spend: trials, seconds of training, optimizer steps."""

from collections.abc import Hashable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from multirun_analysis.compare.budget import BudgetCurve
from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.equal_cost import WORDS, Budgets, EqualCost
from multirun_analysis.figures import style
from multirun_analysis.figures.registry import figure, main_factors
from multirun_analysis.records.described import in_words

LEAST_TRIALS = 4


@figure("budget")
def budget(comparison: Comparison) -> Figure | None:
    """Draw the best of 1, 2, 4, ... trials of each level of the first tuned factor, as seeds see it that chose nothing.

    One panel is by trials, further ones by the seconds and the steps that these take, where levels can be compared in
    them. Bands are 95 % intervals over seeds. None where no factor was tuned with so many trials and two seeds.
    """
    found = {b.factor: b for b in reversed(comparison.budgets) if sum(map(_is_long, b.curves)) > 1}
    budgets = next((found[factor] for factor in main_factors(comparison) if factor in found), None)
    if budgets is None:
        return None
    equal = [cost for cost in budgets.equal.values() if isinstance(cost, EqualCost)]
    whole = style.figure(2 + 4.4 * (1 + len(equal)), 4)
    panels = whole.subplots(1, 1 + len(equal), sharey=True, squeeze=False)[0]
    _draw(panels[0], budgets, comparison, None)
    _set_ticks(panels[0], sorted({k for curve in budgets.curves if _is_long(curve) for k in curve.trials}))
    panels[0].set_xlabel("trials that each may have")
    panels[0].set_ylabel(f"{comparison.metric.name} of the best, on other seeds")
    panels[0].legend(frameon=False)
    for axes, cost in zip(panels[1:], equal, strict=True):
        _draw(axes, budgets, comparison, cost.costs)
        _set_ticks(axes, [min(cost.costs.values()), *cost.budgets])
        axes.set_xlabel(f"{WORDS[cost.unit]} that each may have")
    return whole


def _is_long(curve: BudgetCurve) -> bool:
    return curve.trials[-1] >= LEAST_TRIALS


def _set_ticks(axes: Axes, ticks: Sequence[float]) -> None:
    """Give the axes a horizontal log scale, and these ticks on it."""
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{tick:,.3g}" if tick < 1000 else f"{tick:,.0f}" for tick in ticks])


def _draw(axes: Axes, budgets: Budgets, comparison: Comparison, costs: Mapping[Hashable, float] | None) -> None:
    """Draw the curves of all levels against trials, or against what these cost."""
    curves = [curve for curve in budgets.curves if _is_long(curve)]
    colours = style.colours([in_words(curve.level) for curve in curves])
    for curve in curves:
        name, cost = in_words(curve.level), 1.0 if costs is None else costs[curve.level]
        spent = [k * cost for k in curve.trials]
        axes.plot(spent, curve.mean, "o-", color=colours[name], label=name)
        axes.fill_between(spent, curve.low, curve.high, color=colours[name], alpha=0.15, linewidth=0)
    means = [value for curve in curves for value in curve.mean]
    if comparison.metric.is_loss and min(means) > 0 and max(means) > 10 * min(means):
        axes.set_yscale("log")
