"""Report the noise budget: a sentence of the first screen, a table, and the same for programs."""

from typing import Any

import pandas as pd

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.noise import NoiseBudget, NoiseShare, find_noise_budget


def noise_sentence(comparison: Comparison) -> str | None:
    """Say which source of randomness causes how much of the variance, the largest first; None without a budget."""
    budget = find_noise_budget(comparison)
    if not isinstance(budget, NoiseBudget):
        return None if budget is None else f"not known: {budget}"
    ranked = sorted(zip(budget.sources, budget.alone, strict=True), key=lambda pair: -pair[1].value)
    named = [*ranked, ("in combination", budget.combined)]
    return ", ".join(f"{name} {_show(share)}" for name, share in named) + " of the variance"


def noise_table(comparison: Comparison) -> pd.DataFrame:
    """List each source of randomness: its seeds, its share by itself, and with all that it takes part in."""
    budget = find_noise_budget(comparison)
    if not isinstance(budget, NoiseBudget):
        return pd.DataFrame()
    rows = [
        {"source": source, "seeds": str(seeds), "by itself": _show(alone), "with others": _show(total),
         "deviation by itself": comparison.metric.show_difference(alone.value**0.5 * budget.deviation)}
        for source, seeds, alone, total in zip(
            budget.sources, budget.levels, budget.alone, budget.total, strict=True)
    ]  # fmt: skip
    rows.append(
        {"source": "in combination only", "seeds": "", "by itself": _show(budget.combined), "with others": "",
         "deviation by itself": comparison.metric.show_difference(budget.combined.value**0.5 * budget.deviation)}
    )  # fmt: skip
    return pd.DataFrame(rows)


def noise_object(comparison: Comparison) -> dict[str, Any] | None:
    """Compose the noise budget for programs; None without one."""
    budget = find_noise_budget(comparison)
    if not isinstance(budget, NoiseBudget):
        return None
    return {
        "settings": budget.settings,
        "deviation": budget.deviation,
        "sources": [
            {"source": source, "seeds": seeds, **_as_object(alone), "total": _as_object(total)}
            for source, seeds, alone, total in zip(
                budget.sources, budget.levels, budget.alone, budget.total, strict=True
            )
        ],
        "in_combination": _as_object(budget.combined),
    }


def _as_object(share: NoiseShare) -> dict[str, Any]:
    return {"share": share.value, "interval": [share.low, share.high]}


def _show(share: NoiseShare) -> str:
    return f"{100 * share.value:.0f} % [{100 * share.low:.0f}, {100 * share.high:.0f}]"
