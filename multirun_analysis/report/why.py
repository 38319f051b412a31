"""Say which quantities inside the networks go along with the differences of a study."""

import math
from collections.abc import Hashable, Sequence

import pandas as pd

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.inner import InnerDifference, clearest
from multirun_analysis.compare.inner_values import Place
from multirun_analysis.compare.results import find_choice
from multirun_analysis.records.described import in_words, is_number
from paribus.diagnosis.finding import NAMES

GAINS = {  # what a level gets, has or makes, as a ratio
    "grad_mean_abs": "gets {ratio} x {best}'s gradient",
    "update_ratio": "makes {ratio} x {best}'s relative updates",
    "grad_signal": "has {ratio} x {best}'s gradient signal",
    "curvature/critical_sharpness": "has {ratio} x {best}'s critical sharpness",
    "curvature/stability_margin": "has {ratio} x {best}'s stability margin",
    "curvature/largest_eigenvalue": "has {ratio} x {best}'s largest eigenvalue",
}
SHARES = {"dead_fraction": "dead", "saturated_fraction": "saturated"}
COLUMNS = {
    **SHARES,
    "grad_mean_abs": "mean |gradient|",
    "update_ratio": "update / weight",
    "grad_signal": "gradient signal",
}
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
MOST_SENTENCES = 2
MOST_ROWS = 200


def why(comparison: Comparison) -> str:
    """Say what goes along with the differences that are concluded, the clearest first; nothing where nothing does.

    Values that were tuned for each level of a choice are left out: the verdict names the best of each, and none ahead.
    """
    told = [
        one
        for one in clearest(comparison.inner)
        if one.concluded and not _reversed(one) and find_choice(comparison.results, one.factor) is None
    ]
    kept = ([one for one in told if not one.place.follows] or told)[:MOST_SENTENCES]
    named = [None, *(one.other for one in kept)]
    parts = [
        sentence(one) if one.other == before else f"{name_level(one.factor, one.other)}: {sentence(one)}"
        for one, before in zip(kept, named, strict=False)
    ]
    return "; ".join(parts)


def _reversed(one: InnerDifference) -> bool:
    """Return whether the level that is behind has fewer dead or saturated units: that explains nothing."""
    return one.place.quantity in SHARES and one.mean < 0


def sentence(one: InnerDifference) -> str:
    """Put a difference into words, whose subject is the level that is behind."""
    best, place = name_level(one.factor, one.best), one.place
    of_best, of_other = (f"{100 * value:.0f} %" for value in one.levels)
    if place.quantity in NAMES:
        return f"{NAMES[place.quantity]} in {of_other} of its seeds, {of_best} of {best}'s"
    if place.quantity in SHARES:
        is_so = f"is {SHARES[place.quantity]} {epoch(place)}"
        ends = f"[{100 * one.low:+.0f}, {100 * one.high:+.0f} points]"
        return f"{of_other} of its {layer(place)} {is_so}, {of_best} of {best}'s {ends}"
    what = GAINS[place.quantity].format(ratio=_ratio(one.mean), best=best)
    subject = f"its {layer(place)} " if place.depth is not None else ""
    return f"{subject}{what} [{_ratio(one.low)}, {_ratio(one.high)}] {epoch(place)}"


def name_level(factor: str, level: Hashable) -> str:
    """Name a level; a number with its factor: depth 40."""
    return f"{factor.rpartition('.')[2]} {in_words(level)}" if is_number(level) else in_words(level)


def layer(place: Place) -> str:
    """Name the layer: first layer, layer 12 of 128, output layer."""
    if place.depth is None:
        return "network"
    if place.depth == -1 or (place.depths and place.depth == place.depths - 1):
        return "output layer"
    return f"{ORDINALS[place.depth]} layer" if place.depth < len(ORDINALS) else f"layer {place.depth + 1}"


def epoch(place: Place) -> str:
    """Name the epoch: in epoch 15, in the last epoch, half-way."""
    if place.epoch is not None:
        return f"in epoch {place.epoch}"
    return {"first": "in epoch 1", "middle": "half-way", "last": "in the last epoch"}[place.slot]


def inner_table(comparison: Comparison) -> pd.DataFrame:
    """List the clearest place of each quantity, factor by factor, and whether it is beyond chance."""
    best: dict[tuple[str, str], InnerDifference] = {}
    for one in comparison.inner:
        key = one.factor, one.place.quantity
        if key not in best or (one.p, -one.strength) < (best[key].p, -best[key].strength):
            best[key] = one
    rows = [
        {
            "factor": one.factor,
            "level": f"{in_words(one.other)} against {in_words(one.best)}",
            "quantity": COLUMNS.get(one.place.quantity, NAMES.get(one.place.quantity, one.place.quantity)),
            "decided": "yes" if one.clear else "no",
            "layer": (one.place.layer or layer(one.place)) if one.place.quantity not in NAMES else "",
            "epoch": "" if one.place.quantity in NAMES else epoch(one.place).removeprefix("in "),
            "means": f"{_mean(one, 1)} against {_mean(one, 0)}",
            "difference [95 %, corrected]": _difference(one),
            "replicates": str(one.replicates),
            "p, corrected": f"{one.p:.2g}",
        }
        for one in sorted(best.values(), key=lambda one: (one.factor, not one.clear, -one.strength))
    ]
    return pd.DataFrame(rows[:MOST_ROWS])


def as_objects(differences: Sequence[InnerDifference]) -> list[dict[str, object]]:
    """Compose the entries of verdict.json: all clear differences."""
    return [
        {
            "factor": one.factor, "best": in_words(one.best), "other": in_words(one.other), "concluded": one.concluded,
            "quantity": one.place.quantity, "depth": one.place.depth, "layer": one.place.layer or None,
            "epoch": one.place.epoch, "when": one.place.slot or None,
            "scale": "ratio" if one.place.ratio else "difference", "value": one.mean, "interval": [one.low, one.high],
            "means": {"best": one.levels[0], "other": one.levels[1]}, "replicates": one.replicates,
            "p_adjusted": one.p, "sentence": f"{name_level(one.factor, one.other)}: {sentence(one)}",
        }
        for one in differences
    ]  # fmt: skip


def _mean(one: InnerDifference, which: int) -> str:
    value = one.levels[which]
    return f"{value:.3g}" if one.place.ratio else f"{100 * value:.0f} %"


def _difference(one: InnerDifference) -> str:
    if one.place.ratio:
        return f"{_ratio(one.mean)} times [{_ratio(one.low)}, {_ratio(one.high)}]"
    low, high = max(one.low, -1.0), min(one.high, 1.0)  # two shares cannot be further apart
    ends = "" if math.isnan(one.low) else f" [{100 * low:+.0f}, {100 * high:+.0f}]"
    return f"{100 * one.mean:+.0f} points{ends}"


def _ratio(value: float) -> str:
    return f"{value:.2g}" if value < 100 else f"{value:.3g}"
