"""Find levels that were made by different states of the code: all else is not equal then."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from multirun_analysis.compare.results import Result, Verdict

CodeState = tuple[Any, Any]  # commit, and hash of what was not committed


@dataclass(frozen=True)
class CodeDifference:
    """Two levels between which a verdict was reached, though no state of the code has made runs of both.

    Attributes:
        runs: one of each level.
    """

    factor: str
    a: Hashable
    b: Hashable
    runs: tuple[str, str]


def find_code_differences(
    results: Sequence[Result], summaries: Mapping[str, Mapping[str, Any]]
) -> list[CodeDifference]:
    """Find such pairs of levels; pairs with a run whose code is not known are left out.

    Args:
        summaries: by run.
    """
    found = []
    for result in results:
        made = {level.level: _find_states(result, level.level, summaries) for level in result.usable}
        for pair in result.pairs:
            a, b = made.get(pair.a), made.get(pair.b)
            decided = pair.verdict in (Verdict.BETTER, Verdict.WORSE, Verdict.SAME)
            if decided and a and b and None not in (*a, *b) and not a.keys() & b.keys():
                found.append(
                    CodeDifference(result.factor, pair.a, pair.b, (next(iter(a.values())), next(iter(b.values()))))
                )
    return found


def _find_states(
    result: Result, level: Hashable, summaries: Mapping[str, Mapping[str, Any]]
) -> dict[CodeState | None, str]:
    """Return a run of each state of the code that made runs of a level, as it was chosen; None for an unknown state."""
    chosen = [entry.trials[entry.chosen] for entry in result.contest.of_level(level) if entry.chosen is not None]
    return {_find_state(summaries.get(run, {})): run for cell in chosen for run in cell.runs}


def _find_state(summary: Mapping[str, Any]) -> CodeState | None:
    git = summary.get("git", {})
    if git.get("commit") is None or (git.get("dirty") and git.get("patch") is None):
        return None  # what was not committed was too large to be recorded
    return git["commit"], git.get("patch")
