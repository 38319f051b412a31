"""Find levels that were made by different states of the code: all else is not equal then."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from multirun_analysis.compare.results import Pair, Result, Verdict

CodeState = tuple[Any, Any]  # commit, and hash of what was not committed


@dataclass(frozen=True)
class CodeDifference:
    """Two levels between which a verdict was reached, though different states of the code made runs that were compared.

    Attributes:
        differing, of: how many of so many replicates have such a pair of runs.
    """

    factor: str
    a: Hashable
    b: Hashable
    differing: int
    of: int


def find_code_differences(
    results: Sequence[Result], summaries: Mapping[str, Mapping[str, Any]]
) -> list[CodeDifference]:
    """Find such pairs of levels; runs whose code is not known tell nothing.

    Args:
        summaries: by run.
    """
    found = []
    for result in results:
        decided = (p for p in result.pairs if p.verdict in (Verdict.BETTER, Verdict.WORSE, Verdict.SAME))
        for pair in decided:
            differ = _compare_states(result, pair, summaries)
            if any(differ.values()):
                found.append(CodeDifference(result.factor, pair.a, pair.b, sum(differ.values()), len(differ)))
    return found


def _compare_states(result: Result, pair: Pair, summaries: Mapping[str, Mapping[str, Any]]) -> dict[Hashable, bool]:
    """Return by replicate whether two runs that were compared with each other differ in their code."""
    differ: dict[Hashable, bool] = {}
    for by_level in result.contest.entries.values():
        entries = [by_level.get(pair.a), by_level.get(pair.b)]
        chosen = [e.trials[e.chosen].outcomes for e in entries if e is not None and e.chosen is not None]
        if len(chosen) == 2:
            for replicate in chosen[0].keys() & chosen[1].keys():
                states = [_find_state(summaries.get(outcomes[replicate].run, {})) for outcomes in chosen]
                differs = None not in states and states[0] != states[1]
                differ[replicate] = differ.get(replicate, False) or differs
    return differ


def _find_state(summary: Mapping[str, Any]) -> CodeState | None:
    git = summary.get("git", {})
    if git.get("commit") is None or (git.get("dirty") and git.get("patch") is None):
        return None  # what was not committed was too large to be recorded
    return git["commit"], git.get("patch")
