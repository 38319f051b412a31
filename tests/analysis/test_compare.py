"""What a comparison is made of: pairs of seeds, tuned rates, missing and repeated runs, confirmations."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_studies import grid, only, study
from records import edit_summary, write_run
from scipy import stats

from multirun_analysis import load_runs
from multirun_analysis.compare.comparison import compare
from multirun_analysis.compare.design import Kind
from multirun_analysis.compare.results import Verdict
from multirun_analysis.report import tables
from multirun_analysis.report.verdict import verdict
from paribus import record
from paribus.errors import UserError

SEEDS = (1, 2, 3)


def test_the_order_of_the_directories_does_not_matter(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0, 2.0, 3.0], "tanh": [1.1, 2.1, 3.2]})
    first, second = (only(study(tmp_path / n, r).results).pairs for n, r in (("a", runs), ("b", runs[::-1])))
    assert first[0].p == pytest.approx(second[0].p)


def test_seeds_that_two_levels_do_not_share_pair_nothing(tmp_path: Path) -> None:
    runs = grid({"relu": [1, 2], "tanh": [3, 4]})
    runs = [dict(run, seed=run["seed"] + 10 * (run["activation"] == "tanh")) for run in runs]
    result = only(study(tmp_path, runs).results)
    assert result.pairs[0].estimate.n == 0 and result.exploratory and len(result.levels) == 2


def test_levels_are_taken_at_their_best_tuned_rate_and_edges_are_named(tmp_path: Path) -> None:
    centre = {"adam": 0.01, "sgd": 1.0}
    runs = [
        {"optim": o, "optim__lr": lr, "seed": s,
         "losses": (9.0, 1 + abs(math.log10(lr / centre[o])) + 0.01 * s + 0.5 * (o == "sgd") + 0.001 * s * (o == "sgd"))}
        for o, lrs in {"adam": (0.001, 0.01, 0.1), "sgd": (0.01, 0.1, 1.0)}.items() for lr in lrs for s in SEEDS
    ]  # fmt: skip
    tuned = only(study(tmp_path, runs).of("optim"))
    assert tuned.contest.kind == Kind.TUNED and tuned.winner == "adam"
    assert {level.level: set(level.settings.values()) for level in tuned.levels} == {"adam": {(0.01,)}, "sgd": {(1.0,)}}
    assert tuned.pairs[0].differences.mean() == pytest.approx(-0.5 - 0.002)
    assert tuned.edges == [("sgd", "optim.lr", 1.0, "highest")]


@pytest.mark.parametrize("momenta", [(), (0.5, 0.8)])
def test_a_level_whose_rate_was_never_swept_is_not_tuned(tmp_path: Path, momenta: tuple[float, ...]) -> None:
    runs: list[dict[str, Any]] = [{"optim": "adam", "optim__lr": lr, "seed": s} for lr in (0.001, 0.02) for s in (1, 2)]
    for extra in [{"optim__momentum": m} for m in momenta] or [{}]:
        runs += [{"optim": "sgd_momentum", "optim__lr": 0.5, "seed": s, **extra} for s in (1, 2)]
    found = study(tmp_path, runs)
    assert not found.of("optim") and "optim.lr" in found.confounded[0].also


def test_more_seeds_at_the_best_rate_do_not_favour_the_others(tmp_path: Path) -> None:
    """Tuned with seed 1, then more seeds at the best rate: the luck of the others with seed 1 does not count."""
    runs = [{"optim": o, "optim__lr": lr, "seed": 1, "losses": (9.0, lr)} for o in ("adam", "sgd") for lr in (0.5, 2.0)]
    runs += [
        {"optim": o, "optim__lr": 0.5, "seed": s, "losses": (9.0, 5.0 + s)} for o in ("adam", "sgd") for s in (2, 3)
    ]
    tuned = only(study(tmp_path, runs).of("optim"))
    assert {v for level in tuned.levels for v in level.settings.values()} == {(0.5,)}
    assert tuned.pairs[0].estimate.n == 3


def test_a_completed_run_without_a_finite_figure_counts_as_diverged(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0, 1.1], "tanh": [0.5, float("nan")]})
    runs[-1]["losses"] = (float("nan"), float("inf"))
    assert study(tmp_path, runs).values["3"] == math.inf


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_runs_that_say_nothing_are_counted_as_missing(tmp_path: Path, status: str) -> None:
    runs = grid({"relu": [1.0, 1.1, 1.2], "tanh": [1.5, 1.7, 1.6]})
    runs[0]["status"] = status
    result = only(study(tmp_path, runs).results)
    assert {level.level: level.missing for level in result.levels} == {"relu": 1, "tanh": 0}
    assert result.pairs[0].estimate.n == 2


def test_the_same_experiment_twice_counts_once(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0, 1.1], "tanh": [1.5, 1.7]})
    found = study(tmp_path, [*runs, dict(runs[0])])
    assert found.duplicates == {"4": "0"} and len(found.study.runs) == 5
    assert [level.finished for level in only(found.results).levels] == [2, 2]
    assert tables.settings(found)["seeds"].tolist() == ["2", "2"]


def test_a_duplicate_under_another_name_of_its_optimizer_has_no_setting_of_its_own(tmp_path: Path) -> None:
    """Names of choices may differ where the configurations, and so the identities, are the same."""
    for name in ("a", "b"):
        write_run(tmp_path / "s" / name)
    edit_summary(
        tmp_path / "s" / "b", choices=record.read_summary(tmp_path / "s" / "a")["choices"] | {"optim": "amsgrad"}
    )
    found = compare(load_runs(tmp_path / "s"))
    assert found.duplicates == {"b": "a"} and "optim" in found.factors
    assert tables.settings(found)["seeds"].tolist() == ["1"]


def test_a_duplicate_that_is_finished_counts_before_one_that_is_not(tmp_path: Path) -> None:
    write_run(tmp_path / "s" / "a", status="interrupted")
    write_run(tmp_path / "s" / "b")
    assert compare(load_runs(tmp_path / "s")).duplicates == {"a": "b"}


def test_one_split_that_equals_a_seed_is_one_split(tmp_path: Path) -> None:
    """data.seed=42 seed=42,43,...: the run of seed 42 has its split by default as well as by choice."""
    random = np.random.default_rng(0)
    shift = random.normal(0, 20, 5)
    figures = {"adam": 150.8 + shift, "sgd": 139.7 + shift + random.normal(0, 2, 5)}
    runs = [{"optim": o, "seed": 42 + i, "data__seed": 42, "losses": (900.0, float(v))}
            for o, values in figures.items() for i, v in enumerate(values)]  # fmt: skip
    (pair,) = only(study(tmp_path, runs).results).pairs
    expected = stats.ttest_rel(figures["adam"], figures["sgd"]).confidence_interval(0.95)
    assert pair.estimate.n == 5 and pair.estimate.interval == pytest.approx(tuple(expected))
    assert pair.verdict == Verdict.WORSE


def test_crossed_seeds_and_splits_are_both_random(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    shift = random.normal(size=(2, 3, 4))
    runs = [
        {"activation": a, "seed": s, "data__seed": 10 + d, "losses": (90.0, 10 + float(shift[i, s, d]))}
        for i, a in enumerate(("relu", "tanh")) for s in range(3) for d in range(4)
    ]  # fmt: skip
    (pair,) = only(study(tmp_path, runs).results).pairs
    table = shift[0] - shift[1]
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    rest = table - rows[:, None] - columns + table.mean()
    squares = 4 * rows.var(ddof=1), 3 * columns.var(ddof=1), (rest**2).sum() / 6
    variance = max(squares[0] - squares[2], 0) + max(squares[1] - squares[2], 0) + squares[2]
    assert pair.estimate.n == 3 and pair.estimate.error**2 == pytest.approx(variance / 12)


def test_an_attempt_that_has_not_ended_hides_no_finished_run(tmp_path: Path) -> None:
    for i, run in enumerate(grid({"relu": [1.0, 1.1, 1.2], "tanh": [5.0, 5.2, 5.1]})):
        write_run(tmp_path / "s" / f"new{i}", **run)
    attempt = write_run(tmp_path / "s" / "a0", **grid({"relu": [1.0]})[0])
    config = load_runs(attempt).summaries["a0"]["config"]
    (attempt / record.SUMMARY).unlink()
    (attempt / ".hydra").mkdir()
    (attempt / ".hydra" / "config.yaml").write_text(json.dumps(config))
    choices = "{optim: adam, model: regression, data: concrete, activation: relu, scheduler: none}"
    (attempt / ".hydra" / "hydra.yaml").write_text(
        f"hydra: {{runtime: {{choices: {choices}}}, overrides: {{task: []}}}}"
    )
    found = compare(load_runs(tmp_path / "s"))
    assert found.duplicates == {"a0": "new0"} and only(found.results).pairs[0].estimate.n == 3


def test_confirmation_runs_alone_are_judged_on_seeds_that_are_fresh(tmp_path: Path) -> None:
    search = [{"optim": o, "optim__lr": lr, "seed": s, "losses": (9.0, 1 + (o == "sgd") + lr + 0.01 * s)}
              for o in ("adam", "sgd") for lr in (0.1, 0.2) for s in SEEDS]  # fmt: skip
    for i, run in enumerate(search):
        write_run(tmp_path / "s" / f"search{i}", **run)
    for o in ("adam", "sgd"):
        for s in (1, 101, 102, 103, 104):  # of which seed 1 was searched on; sgd is better on the fresh ones
            run = write_run(tmp_path / "s" / f"{o}{s}", (9.0, 2 - (o == "sgd") + 0.01 * s % 0.05 + 1e-3 * s * (o == "sgd")),
                            seed=s, optim=o, optim__lr=0.1 if s > 1 else 0.3)  # fmt: skip
            config = load_runs(run).summaries[run.name]["config"]
            edit_summary(run, config={**config, "confirm": True})
    found = compare(load_runs(tmp_path / "s"))
    assert found.confirmed and sorted(found.reused) == ["adam1", "sgd1"]
    (result,) = found.of("optim")
    assert result.contest.kind == Kind.CONFIRMED and result.winner == "sgd" and result.pairs[0].estimate.n == 4
    assert found.best is not None and found.best.levels["optim"] == "sgd" and found.best.confirms
    assert {r.factor for r in found.results} == {"optim"}


def test_a_confirmation_by_hand_compares_each_level_at_what_the_search_chose(tmp_path: Path) -> None:
    """Adam is best at 0.1 and sgd at 0.2 in the search; on fresh seeds adam has 2.0 there, sgd 3.0, and adam at 0.2 2.9."""
    losses = {("adam", 0.1): (1.0, 2.0), ("adam", 0.2): (1.5, 2.9), ("sgd", 0.1): (2.5, 0.0), ("sgd", 0.2): (2.0, 3.0)}
    for (o, lr), (searched, fresh) in losses.items():
        for s in SEEDS:
            write_run(tmp_path / "s" / f"{o}{lr}{s}", (9.0, searched + 0.01 * s), seed=s, optim=o, optim__lr=lr)
        for s in (101, 102, 103) if (o, lr) != ("sgd", 0.1) else ():
            jitter = 0.01 * (s - 102) * (1 if o == "adam" else -1)
            run = write_run(tmp_path / "s" / f"{o}{lr}{s}", (9.0, fresh + jitter), seed=s, optim=o, optim__lr=lr)
            edit_summary(run, config={**load_runs(run).summaries[run.name]["config"], "confirm": True})
    found = compare(load_runs(tmp_path / "s"))
    (result,) = found.of("optim")
    assert result.contest.kind == Kind.CONFIRMED and not found.of("optim.lr")
    assert {level.level: pytest.approx(level.mean) for level in result.levels} == {"adam": 2.0, "sgd": 3.0}
    said = {line.label: line.sentences for line in verdict(found).lines}
    assert "as the search chose" in said["OPTIMIZER"][0] and "LR" not in said


def test_what_is_best_in_each_context_is_said_and_so_is_an_edge_in_half_of_them(tmp_path: Path) -> None:
    """Adam's best rate is the lowest one in batches of 32 and the middle one in batches of 256; sgd's the highest."""
    best = {("adam", 32): 0.001, ("adam", 256): 0.01, ("sgd", 32): 0.1, ("sgd", 256): 0.1}
    runs = [{"optim": o, "optim__lr": lr, "data__batch_size": b, "seed": s,
             "losses": (9.0, 1 + (lr != best[o, b]) + (o == "sgd") + 0.01 * s + 0.001 * s * (b == 32) * (o == "sgd"))}
            for o in ("adam", "sgd") for b in (32, 256) for lr in (0.001, 0.01, 0.1) for s in SEEDS]  # fmt: skip
    found = verdict(study(tmp_path, runs))
    (rates,) = (line.sentences for line in found.lines if line.label == "LR")
    adam = "adam 0.001 at batch size 32, 0.01 at 256 (0.001 is the lowest)"
    assert rates == [f"best at an EDGE: {adam}; sgd 0.1 (highest)"]
    (following,) = (line.sentences for line in found.lines if line.label == "NEXT")
    assert following[0].startswith("widen lr to 0.0001 and 1;")


def test_unknown_tasks_and_factors_are_refused(tmp_path: Path) -> None:
    found = study(tmp_path, grid({"relu": [1.0], "tanh": [2.0]})).study
    with pytest.raises(UserError, match="Did you mean 'activation'"):
        compare(found, by=["activaton"])
    with pytest.raises(UserError, match="classification"):
        compare(found, "classification")
