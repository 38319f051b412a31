"""Confirmation: chosen settings, compared on seeds by which nothing was chosen."""

from collections.abc import Hashable, Mapping, Sequence

from multirun_analysis.compare.design import Cell, Contest, Entry, Kind, Outcome, Replicate, Runs
from multirun_analysis.records.described import ABSENT, in_words

SETTING = "setting"  # the factor whose levels are whole settings
MOST_SETTINGS = 12


def fresh(runs: Runs) -> tuple[dict[str, bool], list[str]]:
    """Say which runs confirm: those that are marked so, on seeds that no other run has; and which are on used ones."""
    used = {run.replicate for run in runs.values() if run.choices and not run.confirms}
    confirms = {name: run.confirms and run.replicate not in used for name, run in runs.items()}
    return confirms, [name for name, run in runs.items() if run.confirms and run.replicate in used]


def setting_contest(runs: Runs, outcomes: Mapping[str, Outcome], factors: Sequence[str]) -> Contest | None:
    """Compare whole settings with each other; None where there are fewer than two, or too many."""
    cells: dict[Hashable, dict[Replicate, Outcome]] = {}
    for name, run in runs.items():
        level = describe_setting({factor: run.level(factor) for factor in factors})
        cells.setdefault(level, {}).setdefault(run.replicate, outcomes[name])
    if not 2 <= len(cells) <= MOST_SETTINGS:
        return None
    whole = {level: Cell(found) for level, found in cells.items()}
    entries = {(): {level: Entry({(): cell}, () if cell.usable else None) for level, cell in whole.items()}}
    return Contest(SETTING, Kind.CONFIRMED, {}, entries, (), ())  # type: ignore[arg-type]


def describe_setting(levels: Mapping[str, Hashable]) -> str:
    """Put a setting into words: relu, adam, lr 0.001."""
    parts = []
    for factor, level in levels.items():
        if level != ABSENT:
            name = "" if "." not in factor and factor != "model" else f"{factor.rpartition('.')[2]} "
            parts.append(f"{name}{in_words(level)}")
    return ", ".join(parts)
