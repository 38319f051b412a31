"""What may be compared with what, and which setting stands for a level that was tuned."""

import math
from collections.abc import Hashable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from made_studies import CHOICES, INFINITE, Row, by_level, contested, described, judged, pair_of

from multirun_analysis.compare.confirmation import setting_contest
from multirun_analysis.compare.confounding import BROUGHT, Confounded, confounded
from multirun_analysis.compare.contests import contests
from multirun_analysis.compare.design import Contest, Kind, Outcome
from multirun_analysis.compare.effects import analyse
from multirun_analysis.compare.inference import optimism
from multirun_analysis.records.described import CONTENT, DEFAULT, Described, factors_of

RATE = "optim.lr"
DEFAULT_RATES = {"adam": 0.001, "sgd": 0.1}


def with_defaults(runs: list[tuple[str, float | None, int]]) -> tuple[dict[str, Described], dict[str, Outcome]]:
    """Runs of optimizers at a rate that was set, or that comes with them where there is None."""
    found = {}
    for i, (optim, rate, seed) in enumerate(runs):
        given: dict[str, Hashable] = {} if rate is None else {RATE: rate}
        flat: dict[str, Hashable] = {RATE: DEFAULT_RATES[optim] if rate is None else rate}
        found[f"run{i}"] = Described(CHOICES | {"optim": optim}, given, flat, seed)
    return found, {name: Outcome(name, run.replicate, 1.0, 1.0) for name, run in found.items()}


def found_in(runs: dict[str, Described], outcomes: dict[str, Outcome], factor: str) -> list[Contest]:
    return contests(runs, outcomes, factors_of(runs.values()), factor, 1)


def swept(rates: dict[str, list[float]], figure: Any, seeds: int = 5) -> list[Row]:
    """Runs of optimizers at some rates each; their figures by optimizer, rate and seed."""
    return [
        ({"optim": o, RATE: lr}, s, figure(o, lr, s)) for o, lrs in rates.items() for lr in lrs for s in range(seeds)
    ]


def chosen(rows: list[Row], sign: int = 1) -> dict[Any, Any]:
    (contest,) = contested(rows, "optim", sign)
    assert contest.kind == Kind.TUNED
    return {level: entry.chosen[0] for by in contest.entries.values() for level, entry in by.items() if entry.chosen}


def test_runs_that_agree_in_all_else_are_compared_in_each_setting_of_it() -> None:
    rows = [r for o in ("x", "y") for r in by_level({"a": [1.0, 2.0], "b": [2.0, 3.0]}, scheduler=o)]
    contest = contested(rows, "activation")[0]
    assert contest.kind == Kind.CONTROLLED and contest.nuisances == () and contest.levels == ["a", "b"]
    assert set(contest.entries) == {("x",), ("y",)} and contest.varied() == ["scheduler"] and contest.where == ""
    assert all(
        entry.cell is not None and entry.cell.finished == 2 for by in contest.entries.values() for entry in by.values()
    )


def test_a_setting_that_only_one_level_has_compares_nothing() -> None:
    rows = by_level({"a": [1.0], "b": [2.0]}) + by_level({"a": [3.0]}, scheduler="x")
    contest = only_contest(rows, "activation")
    assert set(contest.entries) == {("none",)} and contest.where == "scheduler=none"


def only_contest(rows: list[Row], factor: str) -> Contest:
    (contest,) = contested(rows, factor)
    return contest


def test_levels_whose_rate_comes_with_them_are_each_at_their_default_though_the_rate_is_a_factor() -> None:
    runs, outcomes = with_defaults([("adam", None, 1), ("sgd", None, 1), ("adam", 0.01, 1)])
    assert factors_of(runs.values()) == ["optim", RATE]
    (contest,) = found_in(runs, outcomes, "optim")
    assert contest.kind == Kind.DEFAULTS and contest.runs == {"run0", "run1"} and list(contest.entries) == [(DEFAULT,)]
    (rates,) = found_in(runs, outcomes, RATE)
    assert rates.kind == Kind.CONTROLLED and rates.runs == {"run0", "run2"}


def test_levels_at_one_rate_are_controlled_though_it_is_the_default_of_one() -> None:
    runs, outcomes = with_defaults([("adam", None, 1), ("sgd", 0.001, 1)])
    (contest,) = found_in(runs, outcomes, "optim")
    assert contest.kind == Kind.CONTROLLED and contest.runs == {"run0", "run1"}


@pytest.mark.parametrize("key", ["data", "data.target_unit"])
def test_statistics_of_two_data_sets_or_units_are_compared_within_each_and_never_across(key: str) -> None:
    rows = [r for d in ("easy", "hard") for r in by_level({"a": [1.0, 2.0], "b": [2.0, 3.0]}, **{key: d})]
    runs, _ = described(rows)
    found = contested(rows, "activation")
    assert [contest.block for contest in found] == [{key: "easy"}, {key: "hard"}]
    for contest in found:
        assert {runs[name].level(key) for name in contest.runs} == {contest.block[key]}
    across = by_level({"a": [1.0, 2.0]}, **{key: "easy"}) + by_level({"b": [2.0, 3.0]}, **{key: "hard"})
    assert contested(across, "activation") == []
    runs, _ = described(across)
    (pair,) = confounded(runs, [key, "activation"], "activation", [])
    assert pair.also == (key,)


def test_a_run_that_never_read_its_data_is_missing_from_those_that_did() -> None:
    rows: list[Row] = [({"activation": a, CONTENT: c}, 1, 1.0) for a, c in product("ab", "xy")]
    runs, outcomes = described(rows)
    for name, activation in (("failed", "a"), ("stopped", "b")):
        runs[name] = Described(CHOICES | {"activation": activation}, {}, {}, 2)
        outcomes[name] = Outcome(name, (2, 2), math.nan, math.nan)
    found = contests(runs, outcomes, factors_of(runs.values()), "activation", 1)
    assert [contest.block for contest in found] == [{CONTENT: "x"}, {CONTENT: "y"}]
    assert [level.missing for level in analyse(found[0], 1, False).levels] == [1, 1]


def test_an_attempt_without_a_figure_hides_none_that_has_one() -> None:
    rows = [*by_level({"a": [1.0], "b": [2.0]}), *by_level({"a": [math.nan], "b": [math.nan]})]
    for some in (rows, rows[::-1]):
        assert only_contest(some, "activation").runs == {f"run{some.index(row)}" for row in rows[:2]}


@pytest.mark.parametrize("sign", [1, -1])
def test_each_level_takes_its_best_rate(sign: int) -> None:
    best = {"adam": 0.01, "sgd": 1.0}
    rows = swept({"adam": [0.001, 0.01, 0.1], "sgd": [0.1, 1.0]},
                 lambda o, lr, s: -sign * abs(math.log10(lr / best[o])) + 0.01 * s)  # fmt: skip
    assert chosen(rows, sign) == best
    assert judged(rows, sign)["optim"].edges == [("sgd", RATE, 1.0, "highest")]


def test_a_rate_that_diverges_once_in_ten_is_still_chosen() -> None:
    """SGD reaches 95 % at 0.1; adam is not better than its 12 % at 0.01 by 78 points."""

    def figure(o: str, lr: float, s: int) -> float:
        if o == "sgd":
            return -INFINITE if (lr, s) == (0.1, 3) else 0.95 + 0.001 * (s % 3) if lr == 0.1 else 0.12
        return 0.9 + 0.001 * (s % 4)

    rows = swept({"sgd": [0.1, 0.01], "adam": [0.1, 0.01]}, figure, 10)
    assert chosen(rows)["sgd"] == 0.1
    result = judged(rows)["optim"]
    assert result.winner == "sgd" and pair_of(result, "sgd", "adam").estimate.mean == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize(("diverged", "rate"), [(2, 0.1), (3, 0.01)])
def test_a_rate_of_which_more_than_half_diverges_is_not_chosen(diverged: int, rate: float) -> None:
    rows = swept({o: [0.1, 0.01] for o in ("adam", "sgd")},
                 lambda o, lr, s: -INFINITE if lr == 0.1 and s < diverged else 0.9 if lr == 0.1 else 0.1, 4)  # fmt: skip
    assert set(chosen(rows).values()) == {rate}


def test_a_level_of_which_all_rates_diverge_is_unusable() -> None:
    rows = swept({o: [0.1, 0.01] for o in ("adam", "sgd")}, lambda o, lr, s: -INFINITE if o == "sgd" else lr)
    assert [(level.level, level.usable) for level in judged(rows)["optim"].levels] == [("adam", True), ("sgd", False)]


@pytest.mark.parametrize("extra", [99.0, -99.0, 0.25])
def test_a_rate_that_was_tried_with_one_seed_of_five_does_not_change_the_choice(extra: float) -> None:
    rows = swept({o: [0.1, 0.2] for o in ("adam", "sgd")}, lambda o, lr, s: lr + 0.01 * s * (1 + (o == "adam")))
    more: list[Row] = [*rows, ({"optim": "adam", RATE: 9.0}, 0, extra)]
    assert chosen(more) == chosen(rows) == {"adam": 0.2, "sgd": 0.2}
    assert judged(more)["optim"].pairs[0].estimate == judged(rows)["optim"].pairs[0].estimate
    (contest,) = contested(more, "optim")
    assert next(iter(contest.entries.values()))["adam"].excluded == [(9.0,)]


def test_other_seeds_do_not_favour_a_rate() -> None:
    """Rate 0.2 is ahead by 1 in each seed; rate 0.1 has seeds that are good at any rate."""
    rows = swept({o: [0.1, 0.2] for o in ("adam", "sgd")}, lambda o, lr, s: 10.0 * s + 10 * lr)
    kept = [(t, s, v) for t, s, v in rows if s >= 1 or t[RATE] == 0.2]  # without its worst seed 0.1 has the better mean
    assert set(chosen(kept).values()) == {0.2}


def test_levels_of_which_one_was_never_swept_are_not_compared_as_tuned() -> None:
    rows = swept({"adam": [0.01, 0.1], "sgd": [0.1]}, lambda o, lr, s: lr)
    contest = only_contest(rows, "optim")
    assert contest.kind != Kind.TUNED and set(contest.entries) == {(0.1,)}
    assert contested(swept({"adam": [0.01, 0.1], "sgd": [0.5]}, lambda o, lr, s: lr), "optim") == []


def test_a_value_is_compared_at_the_best_rate_of_each_of_its_levels() -> None:
    figures = {(16, 0.1): 1.0, (16, 0.2): 2.0, (32, 0.1): 4.0, (32, 0.2): 3.0}
    rows: list[Row] = [
        ({"data.batch_size": b, RATE: lr}, s, value + 0.1 * s * b)
        for (b, lr), value in figures.items()
        for s in range(3)
    ]
    contest = only_contest(rows, "data.batch_size")
    (entries,) = contest.entries.values()
    assert contest.kind == Kind.TUNED and {b: entry.chosen for b, entry in entries.items()} == {16: (0.2,), 32: (0.1,)}


def test_the_optimism_of_a_choice_is_taken_off_the_difference_and_turns_it_never() -> None:
    random = np.random.default_rng(7)
    tables = {"few": random.normal(size=(5, 2)), "many": random.normal(0.3, 1, size=(5, 12))}
    rows = [
        ({"optim": o, RATE: 10.0**-t}, s, float(v))
        for o, table in tables.items()
        for (s, t), v in np.ndenumerate(table)
    ]
    pair = pair_of(judged(rows)["optim"], "many", "few")
    best = {o: table[:, table.mean(axis=0).argmax()] for o, table in tables.items()}
    penalty = optimism(tables["many"]) - optimism(tables["few"])
    assert penalty > 0 and pair.penalty == pytest.approx(penalty)
    assert pair.differences == pytest.approx(best["many"] - best["few"])
    assert pair.estimate.mean == pytest.approx(max(0, np.mean(best["many"] - best["few"]) - penalty))


def test_what_else_differs_is_told_of_the_nearest_runs() -> None:
    rows: list[Row] = [
        ({"activation": "a", "optim": "sgd", "data.batch_size": 32}, 1, 1.0),
        ({"activation": "b", "optim": "adam", "data.batch_size": 128}, 1, 1.0),
        ({"activation": "b", "optim": "adam", "data.batch_size": 32}, 1, 1.0),
    ]
    runs, _ = described(rows)
    assert contested(rows, "activation") == []
    assert confounded(runs, factors_of(runs.values()), "activation", []) == [
        Confounded("activation", "a", "b", ("optim",))
    ]


def test_levels_that_were_compared_are_not_confounded_and_others_are() -> None:
    rows = by_level({"a": [1.0], "b": [2.0]}) + by_level({"c": [3.0]}, scheduler="x")
    runs, _ = described(rows)
    found = confounded(runs, factors_of(runs.values()), "activation", contested(rows, "activation"))
    assert [(pair.a, pair.b, pair.also) for pair in found] == [("a", "c", ("scheduler",)), ("b", "c", ("scheduler",))]


def test_levels_that_were_not_tuned_alike_differ_in_what_was_tuned() -> None:
    rows = swept({"adam": [0.01, 0.1], "sgd": [0.01, 0.1], "rmsprop": [0.01]}, lambda o, lr, s: lr)
    runs, _ = described(rows)
    found = confounded(runs, factors_of(runs.values()), "optim", contested(rows, "optim"))
    assert {(pair.a, pair.b): pair.also for pair in found} == {
        ("adam", "rmsprop"): (RATE,),
        ("rmsprop", "sgd"): (RATE,),
    }


def test_levels_that_only_differ_in_what_comes_with_them_say_so() -> None:
    runs = {"r0": Described(CHOICES, {}, {"x": 1}), "r1": Described(CHOICES | {"optim": "sgd"}, {}, {"x": 2})}
    assert [pair.also for pair in confounded(runs, ["optim", "x"], "optim", [])] == [(BROUGHT,)]


def test_of_very_many_levels_each_is_held_against_its_neighbour() -> None:
    rows: list[Row] = [({"data.batch_size": k, "trainer.max_epochs": k}, 1, 1.0) for k in range(50)]
    runs, _ = described(rows)
    found = confounded(runs, factors_of(runs.values()), "data.batch_size", [])
    assert [(pair.a, pair.b) for pair in found] == [(k, k + 1) for k in range(49)]


def test_confirmed_settings_are_compared_whole_and_one_that_diverges_is_unusable() -> None:
    figures = {"a": [1.0, 2.0, 3.0], "b": [-INFINITE] * 3, "c": [2.0, 3.5, 4.0]}
    runs, outcomes = described(by_level(figures))
    runs = {name: replace(run, confirms=True) for name, run in runs.items()}
    (of_factor,) = found_in(runs, outcomes, "activation")
    whole = setting_contest(runs, outcomes, ["activation"])
    assert whole is not None
    for contest, kind in ((of_factor, Kind.FRESH), (whole, Kind.CONFIRMED)):
        result = analyse(contest, 1, False)
        assert contest.kind == kind
        assert [(level.level, level.usable) for level in result.levels] == [("c", True), ("a", True), ("b", False)]
        assert only_pair(result.pairs) == pytest.approx([-1.0, -1.5, -1.0])


def only_pair(pairs: Any) -> list[float]:
    assert len(pairs) == 1
    return pairs[0].differences.tolist()
