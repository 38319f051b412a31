"""Where gradient descent settles: the largest eigenvalue of the Hessian beside 2 / learning rate."""

import pandas as pd

from multirun_analysis.compare.comparison import Comparison
from studies.page import Material, Section, made, table

NAME = "concrete_edge_of_stability"
SETTLED = 0.2  # share of the epochs, the last ones
EVERY = 4  # rates from one row of the table to the next
Row = dict[str, object]


def concrete(m: Material) -> Section:
    """Does the largest eigenvalue settle near 2 / rate?"""
    c = m.comparison(NAME)
    rows = settle(c)
    if not rows:
        return Section([NAME], [made(c)])
    reached = [float(str(row["rate x eigenvalue / 2"])) for row in rows if row["above 1 from epoch"] != "never"]
    said = f"The eigenvalue of {len(reached)} of {len(rows)} rates has risen to 2 / rate."
    if reached:
        said += (
            f" Over the last fifth of the epochs their rate x eigenvalue / 2 is {min(reached):.2f} to {max(reached):.2f}."
            " One run a rate: it shows the mechanism, and compares no rates."
        )
    return Section([NAME], [made(c), said, table(rows[::EVERY], f"Every {EVERY}th rate")])


def settle(c: Comparison) -> list[Row]:
    """Return for each completed run, in order of its rate, where the curvature settled; none where it was not measured."""
    curves = c.study.curves
    rows: list[tuple[float, Row]] = []
    for _, mine in curves.groupby("run", observed=True):
        wide = mine.pivot(index="epoch", columns="metric", values="value").sort_index()
        if "curvature/largest_eigenvalue" not in wide or wide["curvature/largest_eigenvalue"].notna().sum() < 2:
            continue
        rate = float(wide["lr"].iloc[0])
        share = (wide["curvature/largest_eigenvalue"] * wide["lr"] / 2).dropna()
        late = share[share.index > (1 - SETTLED) * wide.index.max()]
        margin: pd.Series = wide["curvature/stability_margin"].reindex(late.index)
        above = share.index[share > 1]
        row: Row = {
            "learning rate": f"{rate:g}",
            "rate x eigenvalue / 2 at first": f"{share.iloc[0]:.2f}",
            "above 1 from epoch": str(above[0]) if len(above) else "never",
            "rate x eigenvalue / 2": f"{late.mean():.3f}",
            "stability margin": f"{margin.median():.3f}",
            "training loss": f"{wide['train/loss'].iloc[-1]:.3g}",
        }
        rows.append((rate, row))
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]
