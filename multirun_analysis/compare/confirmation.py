"""Confirmation: chosen settings, compared on seeds by which nothing was chosen."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

from multirun_analysis.compare.contests import context_of
from multirun_analysis.compare.design import Cell, Contest, Entry, Kind, Levels, Outcome, Replicate, Runs
from multirun_analysis.records.described import ABSENT, in_words

SETTING = "setting"  # the factor whose levels are whole settings
MOST_SETTINGS = 12


def fresh(runs: Runs) -> tuple[dict[str, bool], list[str]]:
    """Say which runs confirm: those that are marked so, on seeds that no other run has; and which are on used ones."""
    used = {run.replicate for run in runs.values() if run.choices and not run.confirms}
    confirms = {name: run.confirms and run.replicate not in used for name, run in runs.items()}
    return confirms, [name for name, run in runs.items() if run.confirms and run.replicate in used]


def searched_contests(runs: Runs, outcomes: Mapping[str, Outcome], found: Sequence[Contest]) -> list[Contest]:
    """Compare the levels of a factor on fresh seeds, each at the setting that a search chose for it.

    Which of the confirmed settings of a level that is, the search says, so that nothing is chosen by the runs that are
    judged. Levels without such runs are left out.

    Args:
        runs: the confirmation.
        found: the tuned contests of the factor in the search.
    """
    contests = []
    for contest in found:
        entries: dict[Levels, dict[Hashable, Entry]] = {}
        for name, run in runs.items():
            if any(run.level(key) != value for key, value in contest.block.items()):
                continue
            context, level = context_of(run, contest.factor, contest.others), run.level(contest.factor)
            searched = contest.entries.get(context, {}).get(level)
            if searched is not None and searched.chosen == tuple(run.level(key) for key in contest.nuisances):
                entry = entries.setdefault(context, {}).setdefault(level, Entry({(): Cell({})}, ()))
                entry.trials[()].outcomes.setdefault(run.replicate, outcomes[name])
        entries = {
            context: {
                level: replace(entry, chosen=() if entry.trials[()].usable else None) for level, entry in some.items()
            }
            for context, some in entries.items()
            if len(some) > 1
        }
        if entries:
            contests.append(Contest(contest.factor, Kind.CONFIRMED, contest.block, entries, (), contest.others))
    return contests


def find_settled(found: Sequence[Contest], tuned: Sequence[Contest]) -> set[str]:
    """Return the factors that contests on fresh seeds have judged, with what the search had tuned for them."""
    factors = {contest.factor for contest in found}
    return factors | {key for contest in tuned if contest.factor in factors for key in contest.nuisances}


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
