"""Draw what each level is worth against the number of trials that it may have."""

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from multirun_analysis.compare.budget import budget_curves, searched_contests_of
from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.figures import style
from multirun_analysis.figures.registry import figure, main_factors
from multirun_analysis.records.described import GROUPS, in_words

LEAST_TRIALS = 4


@figure("budget")
def budget(comparison: Comparison) -> Figure | None:
    """Draw the best of 1, 2, 4, ... trials of each level of the first tuned choice, as seeds see it that chose nothing.

    Bands are 95 % intervals over seeds. None where no choice was tuned with so many trials and two seeds.
    """
    for factor in main_factors(comparison):
        for contest in searched_contests_of(comparison, factor) if factor in GROUPS else ():
            curves = [c for c in budget_curves(contest, comparison.metric.sign or 1) if c.trials[-1] >= LEAST_TRIALS]
            if len(curves) > 1:
                break
        else:
            continue
        break
    else:
        return None
    whole = style.figure(6.4, 4)
    axes = whole.subplots()
    colours = style.colours([in_words(curve.level) for curve in curves])
    for curve in curves:
        name = in_words(curve.level)
        axes.plot(curve.trials, curve.mean, "o-", color=colours[name], label=name)
        axes.fill_between(curve.trials, curve.low, curve.high, color=colours[name], alpha=0.15, linewidth=0)
    axes.set_xscale("log", base=2)
    ticks = sorted({k for curve in curves for k in curve.trials})
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([str(k) for k in ticks])
    means = [value for curve in curves for value in curve.mean]
    if comparison.metric.is_loss and min(means) > 0 and max(means) > 10 * min(means):
        axes.set_yscale("log")
    axes.set_xlabel("trials that each may have")
    axes.set_ylabel(f"{comparison.metric.name} of the best, on other seeds")
    axes.legend(frameon=False)
    return whole
