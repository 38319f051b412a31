"""Cases in which it is easily got wrong what may be compared with what."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from made_runs import comparison
from records import edit_summary, write_run
from scipy import stats
from test_compare import grid, only, study
from test_verdict import said

from multirun_analysis import load_runs
from multirun_analysis.compare.comparison import compare
from multirun_analysis.compare.inference import signs_needed
from multirun_analysis.compare.interactions import interactions
from multirun_analysis.compare.metric import Metric
from multirun_analysis.compare.targets import target_of, to_target
from multirun_analysis.report import tables
from paribus import record

SEEDS = (1, 2, 3)


@pytest.mark.parametrize("levels", [(None, 0.5), (None, 0.5, 1.0)])
def test_null_is_a_level_like_others(tmp_path: Path, levels: tuple[Any, ...]) -> None:
    runs = [
        {"trainer__gradient_clip_val": level, "optim": o, "seed": s, "losses": (90.0, 20 * i + s + 0.01 * s * s * i)}
        for i, level in enumerate(levels) for o in ("adam", "sgd") for s in SEEDS
    ]  # fmt: skip
    found = study(tmp_path, runs)
    result = found.of("trainer.gradient_clip_val")[0]
    assert result.winner == "null" and result.verdict("null", 0.5) == "better"
    assert "(with optim=adam): null is better than 0.5" in said(found)["What may be concluded"]
    (crossed, *_) = interactions(found)
    assert "null" in list(crossed.cells["trainer.gradient_clip_val"])
    assert tables.runs(found)["trainer.gradient_clip_val"].tolist().count("null") == 6


def test_data_that_differ_between_two_levels_throughout_confound_them(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0, 1.1, 1.2], "tanh": [5.0, 5.2, 5.1]})
    for run in runs:
        run["more"] = {"data": {"sha256": ("a" if run["activation"] == "relu" else "b") * 64}}
    found = study(tmp_path, runs)
    assert not found.results and found.confounded[0].also == ("data content",)


def test_a_default_that_differs_between_two_levels_throughout_confounds_them(tmp_path: Path) -> None:
    for i, run in enumerate(grid({"relu": [1.0, 1.1, 1.2], "tanh": [5.0, 5.2, 5.1]})):
        directory = write_run(tmp_path / "study" / str(i), **run)
        if run["activation"] == "tanh":
            config = load_runs(directory).summaries[str(i)]["config"]
            edit_summary(directory, config={**config, "optim": {**config["optim"], "lr": 0.5}})
    found = compare(load_runs(tmp_path / "study"))
    assert not found.results and found.confounded[0].also == ("optim.lr",)


def test_a_table_of_rates_that_was_set_is_a_rate_that_was_set(tmp_path: Path) -> None:
    for i, run in enumerate(grid({"relu": [1.0, 1.1], "tanh": [5.0, 5.2]})):
        directory = write_run(tmp_path / "study" / str(i), **run)
        if run["activation"] == "tanh":
            config = load_runs(directory).summaries[str(i)]["config"]
            changed = {
                **config,
                "default_lr": {**config["default_lr"], "adam": 0.5},
                "optim": {**config["optim"], "lr": 0.5},
            }
            edit_summary(directory, config=changed, set={"default_lr.adam": 0.5})
    found = compare(load_runs(tmp_path / "study"))
    assert found.factors == ["activation", "optim.lr"] and not found.results


def test_different_data_sets_have_different_content_and_a_run_that_read_none_spoils_nothing(tmp_path: Path) -> None:
    runs = [
        {"task": "classification", "data": d, "seed": s, "losses": (0.9, 0.1 * s + 0.3 * (d == "cifar10") + 0.01 * s * s * (d == "cifar10")),
         "more": {"data": {"sha256": d * 8}}}
        for d in ("cifar10", "fashion_mnist") for s in SEEDS
    ]  # fmt: skip
    runs.append({"task": "classification", "data": "cifar10", "seed": 9, "status": "failed", "more": {"data": None}})
    found = study(tmp_path, runs)
    assert found.factors == ["data"] and not found.confounded
    assert only(found.results).levels["missing"].sum() == 1


def test_missing_figures_are_no_bad_ones(tmp_path: Path) -> None:
    """Six runs were evaluated, six were not: nothing follows."""
    runs = grid({"relu": [1.0] * 6, "tanh": [1.1] * 6})
    for run in runs[:6]:
        run["more"] = {"test": {"mse": 2.0 + run["seed"], "epoch": 1}}
    result = only(study(tmp_path, runs, metric="test_mse").results)
    assert result.winner is None and result.exploratory


def test_the_winner_of_the_pairs_is_the_winner_though_it_diverged_once(tmp_path: Path) -> None:
    runs = grid({"relu": [5.0 + 0.1 * s for s in range(10)], "tanh": [1.0 + 0.1 * s for s in range(10)]})
    runs[10]["status"] = "diverged"
    found = study(tmp_path, runs)
    result = only(found.results)
    assert result.winner == "tanh" and result.pairs["p"].item() == pytest.approx(2 * 11 * 0.5**10)
    sentence = said(found)["What may be concluded"]
    assert "tanh is better than relu" in sentence and "tanh: diverged with 1 of 10 seeds" in sentence


def test_crossed_seeds_and_splits_are_as_many_pairs_as_there_are_of_the_fewer(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    shift = random.normal(size=(2, 3, 4))
    runs = [
        {"activation": a, "seed": s, "data__seed": 10 + d, "losses": (90.0, 10 + float(shift[i, s, d]))}
        for i, a in enumerate(("relu", "tanh")) for s in range(3) for d in range(4)
    ]  # fmt: skip
    (row,) = only(study(tmp_path, runs).results).pairs.to_dict("records")
    by_seed = (shift[0] - shift[1]).mean(axis=1)
    assert row["seeds"] == 3 and row["p"] == pytest.approx(stats.ttest_1samp(by_seed, 0).pvalue)


def test_a_split_that_is_the_seed_all_the_same_is_no_other_replicate(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0, 1.1], "tanh": [2.0, 2.3]})
    found = study(tmp_path, [dict(run, data__seed=run["seed"]) if run["activation"] == "tanh" else run for run in runs])
    assert only(found.results).pairs["seeds"].item() == 2


def test_a_level_whose_rate_was_never_swept_is_not_tuned_by_its_momentum(tmp_path: Path) -> None:
    runs = [
        {"optim": "adam", "optim__lr": lr, "seed": s, "losses": (90.0, lr + s)} for lr in (0.1, 0.2, 0.3) for s in SEEDS
    ]
    runs += [
        {"optim": "sgd_momentum", "optim__lr": 0.7, "optim__momentum": m, "seed": s, "losses": (90.0, 9 + m + s)}
        for m in (0.5, 0.8, 0.95) for s in SEEDS
    ]  # fmt: skip
    found = study(tmp_path, runs)
    assert not found.of("optim") and "optim.lr" in found.confounded[0].also


def test_what_only_one_option_has_belongs_to_it(tmp_path: Path) -> None:
    """The step schedule with a gamma of its own against none, which has no gamma."""
    runs = [{"seed": s, "losses": (90.0, 9.0 + s + 0.01 * s * s)} for s in SEEDS]
    runs += [{"scheduler": "step", "scheduler__gamma": 0.5, "seed": s, "losses": (90.0, 1.0 + s)} for s in SEEDS]
    found = study(tmp_path / "one", runs)
    assert [(r.contest.kind, r.winner) for r in found.results] == [("controlled", "step")] and not found.confounded
    more = [
        {"scheduler": "step", "scheduler__gamma": g, "seed": s, "losses": (90.0, 5.0 + s)}
        for g in (0.3, 0.7)
        for s in SEEDS
    ]
    tuned = study(tmp_path / "several", runs + more)
    result = tuned.of("scheduler")[0]
    assert result.contest.kind == "tuned" and result.winner == "step"
    assert dict(zip(result.levels["level"], result.levels["trials"], strict=True)) == {"none": 1, "step": 3}


def test_what_follows_from_another_value_does_not_confound_it(tmp_path: Path) -> None:
    """T_max is the number of epochs unless it is set, as in one run here."""
    for i, (epochs, seed) in enumerate((e, s) for e in (10, 20) for s in SEEDS):
        directory = write_run(
            tmp_path / "s" / str(i),
            (9.0, epochs / 10 + seed),
            seed=seed,
            scheduler="cosine",
            trainer__max_epochs=epochs,
        )
        config = load_runs(directory).summaries[str(i)]["config"]
        edit_summary(directory, config={**config, "scheduler": {"_target_": "cosine", "T_max": epochs}})
    odd = write_run(
        tmp_path / "s" / "odd", (9.0, 5.0), seed=9, scheduler="cosine", trainer__max_epochs=10, scheduler__T_max=5
    )
    assert odd.exists()
    found = compare(load_runs(tmp_path / "s"))
    assert [r.contest.kind for r in found.of("trainer.max_epochs")] == ["controlled"]
    assert all(pair.also for pair in found.confounded)


def test_attempts_that_have_not_ended_hide_no_finished_run(tmp_path: Path) -> None:
    for i, run in enumerate(grid({"relu": [1.0, 1.1, 1.2], "tanh": [5.0, 5.2, 5.1]})):
        write_run(tmp_path / "s" / f"new{i}", **run)
        if i < 2:
            attempt = write_run(tmp_path / "s" / f"a{i}", **run)
            config = load_runs(attempt).summaries[f"a{i}"]["config"]
            (attempt / record.SUMMARY).unlink()
            (attempt / ".hydra").mkdir()
            (attempt / ".hydra" / "config.yaml").write_text(__import__("json").dumps(config))
            (attempt / ".hydra" / "hydra.yaml").write_text(
                "hydra: {runtime: {choices: {optim: adam, model: regression, data: concrete, activation: relu, scheduler: none}}, overrides: {task: []}}"
            )
    found = compare(load_runs(tmp_path / "s"))
    assert found.duplicates == {"a0": "new0", "a1": "new1"}
    result = only(found.results)
    assert result.pairs["seeds"].item() == 3 and result.winner == "relu"


def test_the_same_experiment_on_other_data_is_not_the_same(tmp_path: Path) -> None:
    for name, sha in (("a", "a" * 64), ("b", "b" * 64)):
        write_run(tmp_path / "s" / name, more={"data": {"sha256": sha}})
    found = compare(load_runs(tmp_path / "s"))
    assert not found.duplicates and found.factors == ["data content"]


def test_a_duplicate_that_is_finished_counts_before_one_that_is_not(tmp_path: Path) -> None:
    write_run(tmp_path / "s" / "a", status="interrupted")
    write_run(tmp_path / "s" / "b")
    assert compare(load_runs(tmp_path / "s")).duplicates == {"a": "b"}


def test_interactions_are_corrected_over_all_tables() -> None:
    """Four factors of two levels without any effect: 24 tables, of which one study in twenty may say something."""
    random = np.random.default_rng(1)
    claimed = 0
    for _ in range(20):
        runs = [
            {"activation": a, "optim": o, "given": {"data.batch_size": b, "trainer.max_epochs": e}, "seed": s, "val/loss": [10 + random.normal()]}
            for a in ("relu", "tanh") for o in ("adam", "sgd") for b in (32, 64) for e in (5, 10) for s in range(4)
        ]  # fmt: skip
        found = interactions(comparison(runs))
        assert len(found) == 24
        claimed += any(interaction.strongest is not None for interaction in found)
    assert claimed <= 4  # of 20 at 5 % each: more have a probability of 0.003


def test_a_tie_for_want_of_means_says_how_many_signs_it_takes(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0, 1.1, 1.2], "tanh": [1.5, 1.7, 1.6]})
    for run in runs[3:]:
        run["status"] = "diverged"
    assert "it takes 6 seeds that all say the same" in said(study(tmp_path, runs))["What may not be concluded"]
    assert [signs_needed(pairs) for pairs in (1, 3)] == [6, 7]
    for pairs in (1, 3, 15):
        n = signs_needed(pairs)
        assert stats.binomtest(n, n).pvalue < 0.05 / pairs <= stats.binomtest(n - 1, n - 1).pvalue


def test_levels_that_all_diverged_say_so(tmp_path: Path) -> None:
    runs = [
        dict(run, status="diverged", statistics={"best_val_loss": None})
        for run in grid({"relu": [math.nan] * 2, "tanh": [math.nan] * 2})
    ]
    assert (
        "activation: every level diverged with every seed" in said(study(tmp_path, runs))["What may not be concluded"]
    )


@pytest.mark.parametrize(
    ("name", "sign"),
    [
        ("best_val_acc", 1), ("test_acc", 1), ("test_r2", 1), ("stability_score", 1), ("best_val_loss", -1), ("test_rmse", -1),
        ("final_val_mae", -1), ("train_seconds", -1), ("epochs_to_90pct", -1), ("baseline_val_loss", 0), ("test_baseline_mse", 0),
        ("epochs", 0), ("parameters", 0), ("early_layer_gradient", 0), ("final_accumulated", 0),
    ],
)  # fmt: skip
def test_which_end_of_a_metric_is_better(name: str, sign: int) -> None:
    assert Metric(name).sign == sign


def test_what_else_differs_is_told_of_the_nearest_runs(tmp_path: Path) -> None:
    runs = [
        {"activation": "relu", "optim": "sgd", "data__batch_size": 32},
        {"activation": "tanh", "optim": "adam", "data__batch_size": 128},
        {"activation": "tanh", "optim": "adam", "data__batch_size": 32},
    ]
    (pair,) = [pair for pair in study(tmp_path, runs).confounded if pair.factor == "activation"]
    assert pair.also == ("optim",)


def test_epochs_that_were_typed_and_are_the_default_are_no_factor(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0, 1.1], "tanh": [2.0, 2.3]})
    found = study(
        tmp_path, [dict(run, trainer__max_epochs=300) if run["activation"] == "tanh" else run for run in runs]
    )
    assert found.factors == ["activation"]


def test_runs_that_agree_for_several_reasons_are_compared_once(tmp_path: Path) -> None:
    """adam at its default rate, sgd and rmsprop at that rate typed: one comparison of three, none of two beside it."""
    runs = [
        {"optim": o, "seed": s, "losses": (90.0, s + 1.0), **({"optim__lr": 0.01} if o != "adam" else {})}
        for o in ("adam", "sgd", "nesterov") for s in (1, 2)
    ]  # fmt: skip
    assert [len(r.contest.levels) for r in study(tmp_path, runs).of("optim")] == [3]


def test_a_copy_of_a_run_is_no_seed_more_anywhere(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0, 1.5], "tanh": [2.0, 2.3]})
    found = study(tmp_path, [*runs, dict(runs[0])])
    assert "2 settings, each with 2 seeds" in said(found)["What was varied"]
    target = target_of(found)
    assert target is not None and to_target(found, target)["seeds"].tolist() == [2, 2]
    assert tables.settings(found)["seeds"].tolist() == ["2", "2"] and len(tables.runs(found)) == 5


def test_best_figures_are_of_epochs_whose_loss_is_a_number(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", (3.0, 2.0, 1.0))
    metrics = pandas.read_csv(run / record.METRICS)
    metrics.loc[2, "val/loss"] = math.nan
    metrics.to_csv(run / record.METRICS, index=False)
    assert load_runs(run).runs["best_val_mse"].item() == 2.0


def test_many_settings_are_summed_up(tmp_path: Path) -> None:
    runs = [
        {"activation": a, "data__batch_size": b, "seed": s, "losses": (90.0, s + 5.0 * (a == "tanh") + 0.01 * s * (a == "tanh"))}
        for a in ("relu", "tanh") for b in (8, 16, 32, 64, 128, 256, 512) for s in SEEDS
    ]  # fmt: skip
    text = said(study(tmp_path, runs))["What may be concluded"]
    assert "activation was compared in 7 settings of data.batch_size. A single best level: relu in 7." in text
