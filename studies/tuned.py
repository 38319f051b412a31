"""Which optimizer is better, each with its learning rate tuned on the same budget and confirmed on fresh seeds."""

from multirun_analysis.compare.comparison import Comparison
from studies.page import Material, Section, made, table, told


def concrete(m: Material) -> Section:
    """Which optimizer, each tuned on the same budget?"""
    return _quote(m, "concrete_tuned")


def fashion_mnist(m: Material) -> Section:
    """Which optimizer, each tuned on the same budget, after three epochs?"""
    return _quote(m, "mlp_tuned")


def vgg6(m: Material) -> Section:
    """Which optimizer, each tuned on the same budget, on a stand-in?"""
    return _quote(m, "vgg6_tuned_standin")


def _quote(m: Material, name: str) -> Section:
    comparison = m.comparison(name)
    return Section([name], [made(comparison), told(comparison), _tabulate_cost(comparison)])


def _tabulate_cost(comparison: Comparison) -> str:
    """Write what an epoch of each optimizer takes: budgets are equal in epochs, and not in time."""
    runs = comparison.study.runs
    confirmed = {name: run.level("optim") for name, run in comparison.described.items() if run.confirms}
    seconds = runs.loc[list(confirmed), "mean_epoch_seconds"].groupby(confirmed).median().sort_values()
    rows = [
        {"optimizer": level, "times the fastest": f"{value / seconds.min():.1f}"} for level, value in seconds.items()
    ]
    text = "Budgets are equal in epochs, not in time. An epoch of the confirmed runs took (median; other work lengthens it):"
    return f"{text}\n\n{table(rows)}"
