"""What may be compared with what, and what comes of it, on studies whose truth is known."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from records import edit_summary, write_run
from scipy import stats

from multirun_analysis import load_runs
from multirun_analysis.compare.comparison import Comparison, compare
from multirun_analysis.compare.judging import Result
from paribus.errors import UserError

SEEDS = (1, 2, 3, 4, 5)


def study(root: Path, runs: Sequence[Mapping[str, Any]], **options: Any) -> Comparison:
    for i, run in enumerate(runs):
        write_run(root / "study" / f"{i}", **run)
    return compare(load_runs(root / "study"), **options)


def only(results: Sequence[Result]) -> Result:
    assert len(results) == 1
    return results[0]


def grid(losses: Mapping[Any, Sequence[float]], **tried: Any) -> list[dict[str, Any]]:
    """A run a seed for each level of activation, with the final loss given."""
    return [
        {"losses": (9.0, loss), "seed": seed, "activation": level, **tried}
        for level, values in losses.items()
        for seed, loss in enumerate(values, 1)
    ]


def test_a_controlled_comparison_is_paired_by_seed_as_scipy_does_it(tmp_path: Path) -> None:
    relu, tanh = [1.0, 2.0, 3.1, 4.0, 5.2], [1.5, 2.4, 3.7, 4.4, 5.8]
    found = study(tmp_path, grid({"relu": relu, "tanh": tanh}))
    assert found.factors == ["activation"] and found.metric.name == "best_val_loss"
    result = only(found.results)
    (row,) = result.pairs.to_dict("records")
    expected = stats.ttest_rel(relu, tanh)
    assert (row["a"], row["b"], row["seeds"], row["kind"]) == ("relu", "tanh", 5, "controlled")
    assert row["difference"] == pytest.approx(np.mean(relu) - np.mean(tanh))
    assert (row["low"], row["high"]) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert row["p"] == row["p_adjusted"] == pytest.approx(expected.pvalue)
    assert row["verdict"] == "better" and result.winner == "relu"
    assert list(result.levels["letters"]) == ["a", "b"]


def test_the_order_of_seeds_in_the_directories_does_not_matter(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0, 2.0, 3.0], "tanh": [1.1, 2.1, 3.1]})
    first = study(tmp_path / "a", runs).pairs
    second = study(tmp_path / "b", list(reversed(runs))).pairs
    assert first["p"].tolist() == pytest.approx(second["p"].tolist())


def test_one_seed_is_exploratory(tmp_path: Path) -> None:
    result = only(study(tmp_path, grid({"relu": [1.0], "tanh": [2.0]})).results)
    assert result.exploratory and result.winner is None
    (row,) = result.pairs.to_dict("records")
    assert row["verdict"] == "exploratory" and math.isnan(row["low"]) and math.isnan(row["p"])
    assert row["difference"] == -1.0


def test_seeds_that_two_levels_do_not_share_pair_nothing(tmp_path: Path) -> None:
    runs = [
        dict(run, seed=run["seed"] + 10 * (run["activation"] == "tanh"))
        for run in grid({"relu": [1, 2], "tanh": [3, 4]})
    ]
    (row,) = only(study(tmp_path, runs).results).pairs.to_dict("records")
    assert row["verdict"] == "exploratory" and row["seeds"] == 0 and "no seed in common" in row["note"]


def test_what_a_choice_brings_along_belongs_to_it(tmp_path: Path) -> None:
    """optim=adam has another default rate than optim=sgd; where the user set one, that is a factor of its own."""
    runs = [{"optim": o, "seed": s, "losses": (9.0, s + (o == "sgd"))} for o in ("adam", "sgd") for s in SEEDS]
    found = study(tmp_path / "default", runs)
    assert found.factors == ["optim"] and not found.confounded and len(found.results) == 1
    runs = [dict(run, optim__lr=0.5) if run["optim"] == "sgd" else run for run in runs]
    found = study(tmp_path / "set", runs)
    assert found.factors == ["optim", "optim.lr"]
    pairs = found.pairs
    assert set(pairs["verdict"]) == {"confounded"}
    assert "optim.lr" in pairs[pairs["factor"] == "optim"]["note"].item()


def test_a_default_that_was_typed_is_no_factor(tmp_path: Path) -> None:
    runs = [{"optim": o, "seed": s, "losses": (9.0, s)} for o in ("adam", "sgd") for s in (1, 2)]
    runs = [dict(run, optim__lr=0.01) if run["optim"] == "adam" else run for run in runs]  # the default of adam
    assert not study(tmp_path, runs).confounded


def test_equal_values_agree_whether_they_were_typed_or_not(tmp_path: Path) -> None:
    """sgd at the typed rate 0.01, adam at 0.01 by default: nothing else differs."""
    runs = [{"optim": o, "seed": s, "losses": (9.0, s)} for o in ("adam", "sgd") for s in (1, 2)]
    found = study(tmp_path, [dict(run, optim__lr=0.01) if run["optim"] == "sgd" else run for run in runs])
    assert [r.contest.factor for r in found.results] == ["optim"] and not found.confounded


def test_a_grid_is_compared_within_each_setting_of_the_other_factor(tmp_path: Path) -> None:
    runs = [
        {"activation": a, "optim": o, "seed": s, "losses": (9.0, s + 2 * (a == "tanh") + 0.1 * s * (o == "sgd"))}
        for a in ("relu", "tanh") for o in ("adam", "sgd") for s in SEEDS
    ]  # fmt: skip
    found = study(tmp_path, runs)
    assert [(r.contest.factor, r.contest.where) for r in found.results] == [
        ("activation", "optim=adam"),
        ("activation", "optim=sgd"),
        ("optim", "activation=relu"),
        ("optim", "activation=tanh"),
    ]
    assert not found.confounded
    # corrected for both pairs of activation, not only for the one of its own table
    pairs = found.pairs[found.pairs["factor"] == "optim"].sort_values("p")
    assert pairs["p_adjusted"].iloc[0] == pytest.approx(2 * pairs["p"].iloc[0])


def test_comparisons_that_change_several_things_at_once_are_confounded(tmp_path: Path) -> None:
    runs = [
        {"activation": "relu", "optim": "sgd", "data__batch_size": 32, "seed": 1},
        {"activation": "tanh", "optim": "adam", "data__batch_size": 128, "seed": 1},
    ]
    found = study(tmp_path, runs)
    assert not found.results
    notes = {row["factor"]: row["note"] for row in found.pairs.to_dict("records")}
    assert set(notes) == {"activation", "optim", "data.batch_size"}
    assert notes["activation"] == "the nearest runs differ also in optim, data.batch_size"
    assert set(found.pairs["verdict"]) == {"confounded"} and found.pairs["difference"].isna().all()


def test_levels_are_taken_at_their_best_tuned_rate(tmp_path: Path) -> None:
    """Rates that the two do not share; adam's best is in the middle, sgd's at the end of its range."""
    centre = {"adam": 0.01, "sgd": 1.0}
    runs = [
        {"optim": o, "optim__lr": lr, "seed": s, "losses": (9.0, 1 + abs(math.log10(lr / centre[o])) + 0.01 * s + 0.5 * (o == "sgd") + 0.001 * s * (o == "sgd"))}
        for o, lrs in {"adam": (0.001, 0.01, 0.1), "sgd": (0.01, 0.1, 1.0)}.items() for lr in lrs for s in (1, 2, 3)
    ]  # fmt: skip
    found = study(tmp_path, runs)
    tuned = found.of("optim")[0]
    assert tuned.contest.kind == "tuned" and tuned.winner == "adam"
    assert dict(zip(tuned.levels["level"], tuned.levels["setting"], strict=True)) == {
        "adam": "optim.lr=0.01",
        "sgd": "optim.lr=1",
    }
    (row,) = tuned.pairs.to_dict("records")
    assert row["difference"] == pytest.approx(-0.5 - 0.002)
    assert tuned.edges == [("sgd", "optim.lr", 1.0, "highest")]
    # at the rates that they share, the controlled comparisons stand as well, and are told to be within
    assert [(r.contest.kind, r.contest.within) for r in found.of("optim")[1:]] == [("controlled", True)] * 2


def test_a_level_with_one_trial_is_not_tuned(tmp_path: Path) -> None:
    runs = [{"optim": "adam", "optim__lr": lr, "seed": s} for lr in (0.001, 0.02) for s in (1, 2)]
    runs += [{"optim": "sgd", "optim__lr": 0.5, "seed": s} for s in (1, 2)]
    found = study(tmp_path, runs)
    assert not found.of("optim")
    assert found.confounded[0].also == ("optim.lr",)


def test_the_best_setting_is_chosen_over_the_seeds_that_all_settings_have(tmp_path: Path) -> None:
    """Tuned with seed 1, then more seeds at the best rate: the others' luck with seed 1 alone does not count."""
    runs = [{"optim": o, "optim__lr": lr, "seed": 1, "losses": (9.0, lr)} for o in ("adam", "sgd") for lr in (0.5, 2.0)]
    runs += [
        {"optim": o, "optim__lr": 0.5, "seed": s, "losses": (9.0, 5.0 + s)} for o in ("adam", "sgd") for s in (2, 3)
    ]
    tuned = study(tmp_path, runs).of("optim")[0]
    assert set(tuned.levels["setting"]) == {"optim.lr=0.5"}
    assert tuned.pairs["seeds"].item() == 3


def test_a_rate_with_which_a_seed_diverged_is_no_levels_best(tmp_path: Path) -> None:
    runs = [
        {"optim": o, "optim__lr": lr, "seed": s, "losses": (9.0, 1.0 + (lr == 0.001)),
         "status": "diverged" if (o, lr, s) == ("sgd", 0.1, 2) else "completed"}
        for o in ("adam", "sgd") for lr in (0.001, 0.1) for s in (1, 2)
    ]  # fmt: skip
    tuned = study(tmp_path, runs).of("optim")[0]
    assert dict(zip(tuned.levels["level"], tuned.levels["setting"], strict=True)) == {
        "adam": "optim.lr=0.1",
        "sgd": "optim.lr=0.001",
    }


def test_diverged_runs_are_never_dropped_and_never_a_number(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0, 1.1, 1.2], "tanh": [0.1, 0.2, 0.3]})
    runs[-1]["status"] = "diverged"  # tanh, seed 3: its best loss before that would have made it the winner
    result = only(study(tmp_path, runs).results)
    (row,) = result.pairs.to_dict("records")
    assert row["seeds"] == 3 and math.isnan(row["difference"]) and math.isnan(row["low"])
    assert row["note"] == "tanh diverged with 1 of 3 seeds" and row["verdict"] == "tie"
    assert list(result.levels["level"]) == ["relu", "tanh"] and list(result.levels["diverged"]) == [0, 1]


def test_a_level_that_always_diverges_loses_once_there_are_seeds_enough_for_a_sign_test(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0] * 6, "tanh": [0.5] * 6})
    for run in runs[6:]:
        run["status"] = "diverged"
    result = only(study(tmp_path, runs).results)
    assert result.winner == "relu" and result.pairs["p"].item() == pytest.approx(2 * 0.5**6)


def test_a_completed_run_without_a_finite_figure_is_as_bad_as_one_that_diverged(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0, 1.1], "tanh": [0.5, float("nan")]})
    runs[-1]["losses"] = (float("nan"), float("inf"))
    found = study(tmp_path, runs)
    assert found.values["3"] == math.inf


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_runs_that_say_nothing_are_counted_as_missing(tmp_path: Path, status: str) -> None:
    runs = grid({"relu": [1.0, 1.1, 1.2], "tanh": [1.5, 1.7, 1.6]})
    runs[0]["status"] = status
    result = only(study(tmp_path, runs).results)
    assert dict(zip(result.levels["level"], result.levels["missing"], strict=True)) == {"relu": 1, "tanh": 0}
    assert result.pairs["seeds"].item() == 2


def test_all_diverged_says_that_neither_is_better(tmp_path: Path) -> None:
    runs = [dict(run, status="diverged") for run in grid({"relu": [1.0, 1.1], "tanh": [1.5, 1.7]})]
    result = only(study(tmp_path, runs).results)
    assert result.winner is None and result.pairs["p"].item() == 1.0


def test_the_same_experiment_twice_counts_once(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0, 1.1], "tanh": [1.5, 1.7]})
    found = study(tmp_path, [*runs, dict(runs[0])])
    assert found.duplicates == {"4": "0"} and len(found.study.runs) == 5
    assert only(found.results).levels["seeds"].tolist() == [2, 2]


def test_accuracy_is_better_when_higher(tmp_path: Path) -> None:
    found = study(tmp_path, grid({"relu": [0.1, 0.12, 0.11], "tanh": [0.5, 0.55, 0.52]}, task="classification"))
    assert found.metric.name == "best_val_acc" and only(found.results).winner == "relu"


def test_a_metric_without_a_better_end_is_higher_or_lower(tmp_path: Path) -> None:
    runs = [dict(run, statistics={"early_layer_gradient": 0.001 * (1 + (run["activation"] == "tanh")) + 1e-5 * run["seed"] ** 2})
            for run in grid({"relu": [1.0] * 4, "tanh": [1.0] * 4})]  # fmt: skip
    runs = [
        dict(
            run,
            statistics={
                "early_layer_gradient": run["statistics"]["early_layer_gradient"]
                + 1e-6 * run["seed"] * (run["activation"] == "tanh")
            },
        )
        for run in runs
    ]
    found = study(tmp_path, runs, metric="early_layer_gradient")
    assert only(found.results).pairs["verdict"].item() == "lower"


def test_where_the_loss_is_varied_the_squared_error_is_compared(tmp_path: Path) -> None:
    runs = [{"model__loss": loss, "seed": s, "losses": (9.0, s)} for loss in ("mse", "mae") for s in (1, 2)]
    assert study(tmp_path, runs).metric.name == "best_val_mse"


def test_tuning_for_a_test_figure_is_done_on_validation(tmp_path: Path) -> None:
    runs = [
        {"optim": o, "optim__lr": lr, "seed": s, "losses": (9.0, lr), "more": {"test": {"mse": 1 / lr}}}
        for o in ("adam", "sgd") for lr in (0.5, 2.0) for s in (1, 2)
    ]  # fmt: skip
    tuned = study(tmp_path, runs, metric="test_mse").of("optim")[0]
    assert set(tuned.levels["setting"]) == {"optim.lr=0.5"} and tuned.levels["mean"].tolist() == [2.0, 2.0]


def test_the_split_that_was_set_is_part_of_the_replicate(tmp_path: Path) -> None:
    runs = [
        {"activation": a, "seed": 1, "data__seed": split, "losses": (9.0, split + (a == "tanh"))}
        for a in ("relu", "tanh") for split in (1, 2, 3)
    ]  # fmt: skip
    found = study(tmp_path, runs)
    assert found.factors == ["activation"] and only(found.results).pairs["seeds"].item() == 3


def test_width_and_depth_are_one_architecture_beside_hidden(tmp_path: Path) -> None:
    deep = {"model__width": 32, "model__depth": 2, "model__hidden": (32, 32)}
    for seed in (1, 2):
        write_run(tmp_path / "study" / f"a{seed}", seed=seed)
        run = write_run(tmp_path / "study" / f"b{seed}", seed=seed, **deep)
        edit_summary(run, set={"model.width": 32, "model.depth": 2})
    found = compare(load_runs(tmp_path / "study"))
    assert found.factors == ["model.hidden"] and not found.confounded


def test_a_default_that_has_changed_between_runs_confounds(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0, 1.1], "tanh": [1.5, 1.7]})
    for i, run in enumerate(runs):
        directory = write_run(tmp_path / "study" / str(i), **run)
        if run["activation"] == "tanh":
            config = load_runs(directory).summaries[str(i)]["config"]
            edit_summary(directory, config={**config, "scheduler": {"_target_": "none", "gamma": 0.5}})
    write_run(tmp_path / "study" / "old", seed=3, activation="tanh", losses=(9.0, 1.6))
    found = compare(load_runs(tmp_path / "study"))
    assert "scheduler.gamma" in found.factors
    # only the run with the old default may be compared with those of relu
    assert [r.contest.runs for r in found.of("activation")] == [{"0", "1", "old"}]


def test_data_whose_content_differs_are_not_compared(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0, 1.1], "tanh": [1.5, 1.7]})
    for run in runs:
        if run["activation"] == "tanh":
            run["more"] = {"data": {"sha256": "f" * 64}}
    runs.append({"activation": "tanh", "seed": 3, "losses": (9.0, 1.5)})
    found = study(tmp_path, runs)
    assert "data content" in found.factors
    assert [r.contest.runs for r in found.of("activation")] == [{"0", "1", "4"}]


def test_a_factor_or_metric_that_is_not_there_is_refused_with_the_valid_names(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0, 1.1], "tanh": [1.5, 1.7]})
    with pytest.raises(UserError, match="Did you mean 'activation'"):
        study(tmp_path, runs, by=["activations"])
    with pytest.raises(UserError, match="best_val_loss"):
        study(tmp_path, runs, metric="best_val_lose")


def test_several_tasks_are_compared_one_by_one(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0, 1.1], "tanh": [1.5, 1.7]}) + grid({"relu": [0.1], "tanh": [0.2]}, task="classification")
    with pytest.raises(UserError, match="classification, regression"):
        study(tmp_path, runs)
    found = compare(load_runs(tmp_path / "study"), "regression")
    assert len(found.study.runs) == 4 and found.factors == ["activation"]


@pytest.mark.parametrize("n", [3, 10])
def test_a_study_of_six_equal_levels_seldom_has_a_winner(tmp_path: Path, n: int) -> None:
    """Through records and frames, as a user would; test_inference.py does it a thousand times over."""
    random = np.random.default_rng(n)
    winners = 0
    for i in range(8):
        losses = 5 + random.normal(0, 1, n) + random.normal(0, 1, (6, n))
        found = study(tmp_path / str(i), grid({f"level{k}": losses[k] for k in range(6)}))
        winners += only(found.results).winner is not None
        assert len(found.pairs) == 15
    assert winners <= 2  # of 8 at 5 % each: more have a probability of 0.006


def test_of_very_many_levels_the_best_is_compared_with_each(tmp_path: Path) -> None:
    runs = [
        {"optim__lr": 0.001 * k, "seed": s, "losses": (9.0, 1 + (k - 7) ** 2 + 0.01 * s * (k % 3))}
        for k in range(1, 46)
        for s in (1, 2, 3)
    ]
    result = only(study(tmp_path, runs).results)
    assert len(result.pairs) == 44 and result.levels["level"].iloc[0] == pytest.approx(0.007)
    assert result.pairs["p_adjusted"].max() <= 1 and (result.levels["letters"] == "").all()
    known = result.pairs.dropna(subset="p")
    assert known["p_adjusted"].tolist() == pytest.approx(np.minimum(1, known["p"] * 45 * 44 / 2).tolist())
