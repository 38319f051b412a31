"""Tables of the time to a target."""

import math

import pandas as pd

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.results import Verdict
from multirun_analysis.compare.targets import Target, to_target
from multirun_analysis.compare.times import TimeComparison, show_gap
from multirun_analysis.records.described import in_words

WORDS = {Verdict.BETTER: "sooner", Verdict.WORSE: "later"}


def times(comparison: Comparison, target: Target) -> pd.DataFrame:
    """Medians of the time to a target; a run that missed it counts as never."""
    frame = to_target(comparison, target)
    if frame.empty:
        return frame
    shown = frame[comparison.factors].copy()
    shown["reached"] = [
        f"{row['reached']} of {row['seeds']}" + (f" ({row['unknown']} unknown)" if row["unknown"] else "")
        for row in frame.to_dict("records")
    ]
    for unit, digits in (("epochs", ",.3g"), ("steps", ",.0f"), ("seconds", ".1f")):
        shown[f"{unit} (median)"] = [
            "" if math.isnan(v) else "never" if math.isinf(v) else format(v, digits) for v in frame[f"median_{unit}"]
        ]
    return shown


def pairs(found: TimeComparison) -> pd.DataFrame:
    """List the pairs of each factor's levels: the time of the first less that of the second, in epochs, or by it."""
    rows = []
    for result in found.results:
        missed = {level: found.count_missed(result, level) for level in result.contest.levels}
        for pair in result.pairs:
            never = [f"{missed[level][0]} of {missed[level][1]}" for level in (pair.a, pair.b)]
            rows.append(
                {
                    "factor": result.factor,
                    "pair": f"{in_words(pair.a)} {'by' if result.log else 'less'} {in_words(pair.b)}",
                    "difference [95 %]": ("a factor of " if result.log else "") + show_gap(pair, result.log),
                    "replicates": str(pair.estimate.n),
                    "p, corrected": "" if math.isnan(pair.p_adjusted) else f"{pair.p_adjusted:.2g}",
                    "the first is there": WORDS.get(pair.verdict, str(pair.verdict)),
                    "never reached": ", ".join(never),
                }
            )
    return pd.DataFrame(rows)
