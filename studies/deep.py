"""The section on nets of 128 layers: initial weights, norms, skip connections and learning rates, crossed."""

from itertools import product

import pandas as pd

from multirun_analysis.compare.comparison import Comparison
from studies import charts
from studies.page import Material, Section, broken, made, number, runs_with, table, told, values_of

NAME = "concrete_deep"
INITS = ("torch", "auto", "orthogonal")
NORMS = ("none", "layer", "batch")
RATES = (0.001, 0.01)
LEARNS = 0.95  # of the mean predictor's MSE; a run above it has learned nothing
FAR = 1000.0  # best validation MSE beyond which a run is counted, not drawn; so are runs that diverged


def concrete(m: Material) -> Section:
    """What mends 128 layers?"""
    c = m.comparison(NAME)
    kinds, rows, drawn = [], [], {}
    for norm, skip in product(NORMS, (False, True)):
        at = {"model__norm": norm, "model__skip": skip}
        values, runs = values_of(c, "best_val_loss", **at), int(runs_with(c, **at).sum())
        learning = values[_learns(c, values, **at)]
        kind = f"{'no' if norm == 'none' else norm} norm{', skip connections' if skip else ''}"
        far = runs - int((values < FAR).sum())
        drawn[kind + (f"\n({far} of {runs} beyond {FAR:g})" if far else "")] = values[values < FAR]
        ends = f"{number(learning.min())} to {number(learning.max())}" if len(learning) else "none"
        kinds.append({"net": kind, "runs that learn": f"{len(learning)} of {runs}", "their best validation MSE": ends})
        for init in INITS:
            row = {"norm": norm, "skip connections": "yes" if skip else "no", "initial weights": init}
            for rate in RATES:
                setting = {**at, "model__init": init, "optim__lr": rate}
                values, missing = values_of(c, "best_val_loss", **setting), broken(c, **setting)
                learned = int(_learns(c, values, **setting).sum())
                row[f"rate {rate:g}: best validation MSE"] = number(values.mean()) if len(values) else "none"
                row[f"rate {rate:g}: runs that learn"] = f"{learned} of {len(values)}" + (missing and f"; {missing}")
            rows.append(row)
    baseline = values_of(c, "baseline_val_loss").mean()
    picture = charts.dots(
        drawn, "best validation MSE", "128 layers: a dot a run, a bar their mean", log=True, line=baseline,
        line_label="mean predictor",
    )  # fmt: skip
    text = (
        f"A run learns whose best validation MSE is below {LEARNS:.0%} of the mean predictor's. `auto` draws the weights "
        "that He et al. (2015) derive for relu."
    )
    shows = "Best validation MSE of nets of 128 layers, by norm and skip connections"
    blocks = [made(c), told(c), m.figure(NAME, picture, shows), text, table(kinds), table(rows, "All settings")]
    return Section([NAME], blocks)


def _learns(c: Comparison, values: pd.Series, **levels: object) -> pd.Series:
    return values < LEARNS * values_of(c, "baseline_val_loss", **levels)
