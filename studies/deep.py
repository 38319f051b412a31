"""The section on nets of 128 layers: initial weights, norms, skip connections and learning rates, crossed."""

from itertools import product

from multirun_analysis.figures import settings
from studies.page import Material, Section, broken, made, number, table, told, values_of

NAME = "concrete_deep"
RATES = (0.001, 0.01)
LEARNS = 0.95  # of the mean predictor's MSE; a run above it has learned nothing


def concrete(m: Material) -> Section:
    """What mends 128 layers?"""
    c = m.comparison(NAME)
    rows = []
    for init, norm, skip in product(("torch", "auto", "orthogonal"), ("none", "layer", "batch"), (False, True)):
        row = {"initial weights": init, "norm": norm, "skip connections": "yes" if skip else "no"}
        for rate in RATES:
            at = {"model__init": init, "model__norm": norm, "model__skip": skip, "optim__lr": rate}
            values, baseline = values_of(c, "best_val_loss", **at), values_of(c, "baseline_val_loss", **at)
            learned = int((values < LEARNS * baseline).sum())
            missing = broken(c, **at)
            mean = number(values.mean()) if len(values) else "none"
            row[f"rate {rate:g}: best validation MSE"] = mean
            row[f"rate {rate:g}: runs that learn"] = f"{learned} of {len(values)}" + (f"; {missing}" if missing else "")
        rows.append(row)
    text = (
        f"A run learns whose best validation MSE is below {LEARNS:.0%} of the mean predictor's. `auto` draws the weights "
        "that He et al. (2015) derive for relu."
    )
    picture = m.figure(
        NAME, settings.two_factors(c, "model.norm", "model.skip"), "Validation loss by norm and skip connections"
    )
    return Section([NAME], [made(c), told(c), picture, text, table(rows, "All settings")])
