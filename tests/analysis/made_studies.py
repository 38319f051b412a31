"""Studies made up, with figures that are chosen: in memory, or as the records of their runs."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from records import write_run

from multirun_analysis import load_runs
from multirun_analysis.compare.comparison import Comparison, compare
from multirun_analysis.compare.contests import contests
from multirun_analysis.compare.design import Contest, Outcome
from multirun_analysis.compare.effects import analyse
from multirun_analysis.compare.family import decide
from multirun_analysis.compare.results import Pair, Result
from multirun_analysis.records.described import Described, factors_of

CHOICES = {"model": "mlp", "data": "images", "activation": "relu", "optim": "adam", "scheduler": "none"}
Row = tuple[dict[str, Any], Any, float]  # choices and values, the seed (with a split: both), the figure
INFINITE = float("inf")


def described(rows: Iterable[Row]) -> tuple[dict[str, Described], dict[str, Outcome]]:
    runs, outcomes = {}, {}
    for i, (tried, seed, value) in enumerate(rows):
        given = {key: level for key, level in tried.items() if key not in CHOICES}
        seed, split = seed if isinstance(seed, tuple) else (seed, None)
        choices = CHOICES | {key: level for key, level in tried.items() if key in CHOICES}
        run = runs[f"run{i}"] = Described(choices, given, dict(given), seed, split=split)
        outcomes[f"run{i}"] = Outcome(f"run{i}", run.replicate, value, value)
    return runs, outcomes


def contested(rows: Iterable[Row], factor: str, sign: int = 1, loss: bool = False) -> list[Contest]:
    runs, outcomes = described(rows)
    return contests(runs, outcomes, factors_of(runs.values()), factor, sign, loss)


def judged(
    rows: Iterable[Row], sign: int = 1, margin: float | None = None, resolution: float = 0.0, loss: bool = False
) -> dict[str, Result]:
    """What comes of all factors, in one family; by factor (of several blocks the last one)."""
    runs, outcomes = described(rows)
    factors = factors_of(runs.values())
    found = [c for factor in factors for c in contests(runs, outcomes, factors, factor, sign, loss)]
    return {r.factor: r for r in decide([analyse(c, sign, loss) for c in found], sign, margin, resolution)}


def by_level(figures: Mapping[Any, Sequence[float]], factor: str = "activation", **tried: Any) -> list[Row]:
    """A row a seed for each level."""
    return [({factor: level, **tried}, seed, v) for level, values in figures.items() for seed, v in enumerate(values)]


def study(root: Path, runs: Sequence[Mapping[str, Any]], **options: Any) -> Comparison:
    """Compare runs by their records; arguments of write_run."""
    for i, run in enumerate(runs):
        write_run(root / "study" / f"{i}", **run)
    return compare(load_runs(root / "study"), **options)


def grid(losses: Mapping[Any, Sequence[float]], **tried: Any) -> list[dict[str, Any]]:
    """A run a seed for each level of activation, with the final loss given."""
    return [
        {"losses": (9.0, loss), "seed": seed, "activation": level, **tried}
        for level, values in losses.items()
        for seed, loss in enumerate(values, 1)
    ]


def only(results: Sequence[Result]) -> Result:
    assert len(results) == 1
    return results[0]


def pair_of(result: Result, a: Any, b: Any) -> Pair:
    found = result.pair(a, b)
    assert found is not None
    return found
