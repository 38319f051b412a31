"""A search and its confirmation: which setting of a level is judged."""

from made_studies import CHOICES

from multirun_analysis.compare.confirmation import searched_contests
from multirun_analysis.compare.contests import contests
from multirun_analysis.compare.design import Kind, Outcome
from multirun_analysis.compare.effects import analyse
from multirun_analysis.records.described import Described


def test_fresh_seeds_judge_each_level_at_what_the_search_chose() -> None:
    """Sgd's second setting is the better one on fresh seeds, and does not count: the search had chosen the first."""
    searched, fresh = [], []
    for optim, rates in {"adam": (0.1, 0.2), "sgd": (0.3, 0.4)}.items():
        for k, rate in enumerate(rates):
            value = {"choices": {**CHOICES, "optim": optim}, "given": {"optim.lr": rate}, "flat": {"optim.lr": rate}}
            searched += [(Described(**value, seed=seed, tuned=("optim.lr",)), 5.0 - k + seed) for seed in (1, 2)]
            confirmed = (Described(**value, seed=seed, confirms=True) for seed in (101, 102, 103))
            level = {"adam": 2.0, "sgd": 1.0}[optim] + 9 * k
            fresh += [(run, level + (run.seed == 103) * (optim == "sgd")) for run in confirmed]
    found = []
    for some in (searched, fresh):
        runs = {f"run{i}": run for i, (run, _) in enumerate(some)}
        outcomes = {f"run{i}": Outcome(f"run{i}", run.replicate, x, x) for i, (run, x) in enumerate(some)}
        found.append((runs, outcomes))
    tuned = contests(*found[0], ["optim", "optim.lr"], "optim", 1)
    (contest,) = searched_contests(*found[1], tuned)
    assert contest.kind == Kind.CONFIRMED
    (pair,) = analyse(contest, 1, False).pairs
    assert {pair.a, pair.b} == {"adam", "sgd"}
    assert sorted(map(abs, pair.differences.tolist())) == [0.0, 1.0, 1.0]
