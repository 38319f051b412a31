"""VGG6 in few epochs: the rates of its recipe, and what each part of it brings."""

from collections import Counter
from collections.abc import Hashable

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.results import Pair, Result
from multirun_analysis.records.described import in_words
from studies import charts
from studies.page import Material, Section, made, table, told

WORDS = {
    "averaging": "averages of weights",
    "data.average_flips": "averages over flips",
    "data.fill": "borders of shifts",
    "data.flip": "flips",
    "data.shift": "shifts, in pixels",
    "loss.label_smoothing": "label smoothing",
    "model.dropout": "dropout",
    "model.init": "initial weights",
    "model.norm": "norm",
    "optim": "optimizer",
    "scheduler": "schedule",
}


def search(m: Material) -> Section:
    """VGG6 in few epochs: Muon or SGD, each tuned on the same budget, on a stand-in"""
    c = m.comparison("vgg6_fast_search")
    return Section(["vgg6_fast_search"], [made(c), told(c), m.differences("vgg6_fast_search", c, "optim")])


def left_out(m: Material) -> Section:
    """VGG6 in few epochs: the recipe, and each part left out, on a stand-in"""
    return _list_parts(m, "vgg6_fast_left_out", "The recipe, and the recipe with one change.")


def alone(m: Material) -> Section:
    """VGG6 in few epochs: each part alone, on a stand-in"""
    return _list_parts(m, "vgg6_fast_alone", "VGG6 by Adam as `model=vgg6` has it, and with one change.")


def _list_parts(m: Material, name: str, what: str) -> Section:
    comparison = m.comparison(name)
    changes = {
        _describe(result, pair): pair for result in comparison.results for pair in _from_base(comparison, result)
    }
    ranked = dict(sorted(changes.items(), key=lambda item: item[1].estimate.mean))
    metric = comparison.metric
    rows = [
        {
            "change": change,
            "difference": metric.show_estimate(pair.estimate, log=False),
            "p, corrected": f"{pair.p_adjusted:.2g}",
            "verdict": str(pair.verdict),
        }
        for change, pair in ranked.items()
    ]
    points = {change: (pair.estimate.mean, *pair.estimate.interval) for change, pair in ranked.items()}
    estimates = {change: tuple(100 * value for value in values) for change, values in points.items()}
    axis = f"difference of {metric.short}, percentage points"
    figure = charts.intervals(estimates, axis, what.rstrip(".").replace("`", ""))
    shown = m.figure(name, figure, "What each change does to validation accuracy, with 95 % intervals")
    return Section([name], [f"{what} {made(comparison)}", told(comparison), shown, table(rows, "All changes")])


def _from_base(comparison: Comparison, result: Result) -> list[Pair]:
    """List the pairs of each other level against that of the unchanged setting, which most runs have."""
    levels: Counter[Hashable] = Counter(run.level(result.factor) for run in comparison.described.values())
    base = levels.most_common(1)[0][0]
    found = [result.pair(level.level, base) for level in result.usable if level.level != base]
    return [pair for pair in found if pair is not None]


def _describe(result: Result, pair: Pair) -> str:
    return f"{WORDS.get(result.factor, result.factor)}: {in_words(pair.a)}, not {in_words(pair.b)}"
