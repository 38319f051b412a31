"""What is said of a study: sentences, warnings, times to a target, interactions, tables."""

import math
from pathlib import Path
from typing import Any

import pandas
import pytest
from records import edit_summary, write_run
from scipy import stats
from test_compare import grid, study

from multirun_analysis import load_runs
from multirun_analysis.compare.checks import cautions
from multirun_analysis.compare.comparison import Comparison, compare
from multirun_analysis.compare.interactions import interactions
from multirun_analysis.compare.targets import reached, target_of, to_target
from multirun_analysis.report import documents, tables
from multirun_analysis.report.verdict import verdict


def said(found: Comparison) -> dict[str, str]:
    return {heading: "\n".join(sentences) for heading, sentences in verdict(found).parts}


def test_a_winner_is_named_with_its_margin(tmp_path: Path) -> None:
    found = said(study(tmp_path, grid({"relu": [1.0, 2.0, 3.1], "tanh": [6.0, 7.1, 8.2]})))
    assert "2 settings, each with 3 seeds: 6 completed" in found["What was varied"]
    (sentence,) = found["What may be concluded"].splitlines()
    assert sentence.startswith("activation: relu is better than tanh. Mean best_val_loss: relu: 2.033, tanh: 7.1.")
    low, high = stats.ttest_rel([6.0, 7.1, 8.2], [1.0, 2.0, 3.1]).confidence_interval(0.95)
    assert f"by 5.07 (95 % interval {low:.3g} to {high:.3g}, 3 seeds in pairs; p = " in sentence
    assert "What may not be concluded" not in found  # not even that a tie is no evidence


def test_a_tie_says_how_many_seeds_would_be_needed_and_concludes_nothing(tmp_path: Path) -> None:
    found = said(study(tmp_path, grid({"relu": [1.0, 2.0, 3.0], "tanh": [1.4, 2.1, 2.9]})))
    assert "What may be concluded" not in found
    text = found["What may not be concluded"]
    assert "no difference could be shown between relu and tanh" in text
    assert "That no difference could be shown does not mean that there is none." in text
    d = pandas.Series([1.0, 2.0, 3.0]) - pandas.Series([1.4, 2.1, 2.9])
    effect = abs(d.mean()) / d.std()
    n = next(
        n for n in range(2, 500) if 1 - stats.nct.cdf(stats.t.ppf(0.975, n - 1), n - 1, effect * math.sqrt(n)) >= 0.8
    )
    assert f"about {n} seeds would show it" in text


def test_one_seed_names_no_winner(tmp_path: Path) -> None:
    found = said(study(tmp_path, grid({"relu": [1.0], "tanh": [20.0]})))
    assert list(found) == ["What was varied", "What may not be concluded"]
    assert "with one seed each, no winner can be named" in found["What may not be concluded"]


def test_confounded_factors_are_named_with_what_else_differs(tmp_path: Path) -> None:
    runs = [
        {"activation": "relu", "optim": "sgd", "data__batch_size": 32},
        {"activation": "tanh", "optim": "adam", "data__batch_size": 128},
    ]
    text = said(study(tmp_path, runs))["What may not be concluded"]
    assert "activation is confounded: its levels were never compared with all else equal" in text
    assert "differ also in optim, data.batch_size (relu and tanh)" in text


def test_missing_and_diverged_runs_are_counted_in_words(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0, 1.1, 1.2], "tanh": [0.1, 0.2, 0.3]})
    runs[0]["status"], runs[5]["status"] = "failed", "diverged"
    found = said(study(tmp_path, runs))
    assert "4 completed, 1 failed, 1 diverged" in found["What was varied"]
    assert (
        "1 run of 6 failed, saying nothing: 0. The command of the study, started again"
        in found["What may not be concluded"]
    )
    assert "tanh: diverged with 1 of 3 seeds" in found["What may not be concluded"]


def test_nothing_varied_says_how_to_vary(tmp_path: Path) -> None:
    for seeds in ((1,), (1, 2)):
        found = said(study(tmp_path / str(len(seeds)), [{"seed": s} for s in seeds]))
        assert "--multirun activation=relu,tanh seed=1,2,3,4,5" in found["What may not be concluded"]


def warned(found: Comparison) -> str:
    return "\n".join(cautions(found))


def tuned(
    adam: float, sgd: float, rates: Any = ((0.001, 0.01, 0.1), (0.001, 0.01, 0.1)), best: float = 0.01
) -> list[dict[str, Any]]:
    return [
        {"optim": o, "optim__lr": lr, "seed": s, "losses": (90.0, level + 5 * (lr != best) + lr + 0.01 * s**2 * (o == "adam") + s)}
        for (o, level), lrs in zip({"adam": adam, "sgd_momentum": sgd}.items(), rates, strict=True) for lr in lrs for s in (1, 2, 3)
    ]  # fmt: skip


def test_the_edge_of_a_range_is_warned_of_and_its_middle_is_not(tmp_path: Path) -> None:
    assert "the highest of those tried" in warned(study(tmp_path / "edge", tuned(1, 3, best=0.1)))
    assert warned(study(tmp_path / "middle", tuned(1, 3))) == ""


def test_unequal_numbers_of_trials_are_warned_of(tmp_path: Path) -> None:
    text = warned(study(tmp_path, tuned(1, 3, ((0.001, 0.01, 0.1), (0.001, 0.01, 0.1, 1.0)))))
    assert "unequal numbers of trials (adam 3, sgd_momentum 4)" in text


def test_a_tuned_adam_that_loses_to_momentum_sgd_is_doubted(tmp_path: Path) -> None:
    assert "adam, tuned, loses to sgd_momentum" in warned(study(tmp_path / "lost", tuned(9, 1)))
    assert "loses" not in warned(study(tmp_path / "won", tuned(1, 9)))


def test_identical_curves_of_different_options_are_told(tmp_path: Path) -> None:
    """As where a misspelt activation silently trains another network."""
    runs = grid({"relu": [1.0, 1.1], "sigmoid": [1.0, 1.1], "tanh": [1.3, 1.4]})
    text = warned(study(tmp_path, runs))
    assert "Runs with activation=relu and with activation=sigmoid have identical curves (and 1 more such)" in text
    assert "tanh" not in text


def test_validation_and_test_that_agree_to_the_last_digit_are_suspicious(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0, 1.1], "tanh": [1.3, 1.4]})
    runs[0]["more"] = {"test": {"mse": 1.0, "r2": 0.5, "epoch": 2}}
    runs[1]["more"] = {"test": {"mse": 1.1001, "r2": 0.5, "epoch": 2}}
    runs[2]["more"] = {"test": {"mse": 1.3, "r2": 0.5, "epoch": 1}}  # as large as in another epoch
    assert "The test loss equals the validation loss of the same epoch in 0:" in warned(study(tmp_path, runs))


def test_accuracies_of_different_samples_may_agree(tmp_path: Path) -> None:
    runs = grid({"relu": [0.1, 0.2], "tanh": [0.3, 0.4]}, task="classification")
    for run in runs:
        run["more"] = {"test": {"acc": 1 - run["losses"][-1], "loss": 0.5, "epoch": 2}}
    assert warned(study(tmp_path, runs)) == ""


def test_a_choice_by_the_test_set_is_warned_of(tmp_path: Path) -> None:
    runs = [dict(run, more={"test": {"mse": 2.0}}) for run in grid({"relu": [1.0, 1.1], "tanh": [1.3, 1.4]})]
    assert "chosen on the test set" in warned(study(tmp_path, runs, metric="test_mse"))


def test_other_versions_and_uncommitted_changes_are_told(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0], "tanh": [1.3]})
    runs[0]["more"] = {"versions": {"torch": "2.7.0"}, "git": {"commit": "def", "dirty": True}}
    text = warned(study(tmp_path, runs))
    assert (
        "different versions of torch: 2.7.0 (1 of the runs), 2.6.0 (1 of the runs)" in text and "not committed" in text
    )


def test_times_to_a_target_by_hand(tmp_path: Path) -> None:
    runs = [
        {"activation": "relu", "seed": 1, "losses": (9.0, 5.0, 4.0)},
        {"activation": "relu", "seed": 2, "losses": (9.0, 9.0, 5.0)},
        {"activation": "relu", "seed": 3, "losses": (9.0, 9.0, 9.0)},  # missed
        {"activation": "tanh", "seed": 1, "losses": (9.0, 5.0), "status": "diverged"},  # reached, then diverged
        {"activation": "tanh", "seed": 2, "losses": (9.0, 9.0), "status": "diverged"},
        {"activation": "tanh", "seed": 3, "losses": (9.0, 9.0), "status": "failed"},  # nobody knows
    ]
    found = study(tmp_path, runs)
    target = target_of(found, 5.0)
    assert target is not None
    times = reached(found, target)
    assert times["epochs"].tolist()[:5] == [2, 3, math.inf, 2, math.inf] and math.isnan(times["epochs"]["5"])
    assert times.loc["1"].tolist() == [3, 30, 1.5]
    rows = to_target(found, target).set_index("activation")
    assert rows.loc["relu", ["seeds", "reached", "median_epochs"]].tolist() == [3, 2, 3]
    assert rows.loc["tanh", ["seeds", "reached", "median_epochs", "median_seconds"]].tolist() == [
        2,
        1,
        math.inf,
        math.inf,
    ]
    assert rows.loc["tanh", "unknown"] == 1


def test_the_default_target_is_one_for_all_runs(tmp_path: Path) -> None:
    target = target_of(study(tmp_path / "r", grid({"relu": [1.0], "tanh": [2.0]})))
    assert target is not None and target.value == pytest.approx(10 - 0.9 * 9)  # the baseline of these records is 10
    target = target_of(study(tmp_path / "c", grid({"relu": [0.1], "tanh": [0.2]}, task="classification")))
    assert target is not None and (target.column, target.value) == ("val/acc", pytest.approx(0.95 * 0.9))


def crossed(tmp_path: Path, extra: float) -> Comparison:
    noise = {1: 0.0, 2: 0.05, 3: -0.04, 4: 0.02}
    runs = [
        {"activation": a, "optim": o, "seed": s,
         "losses": (90.0, 5 + s + (a == "tanh") + (o == "sgd") + extra * (a == "tanh" and o == "sgd") + noise[s] * (a == "tanh") * (1 + (o == "sgd")))}
        for a in ("relu", "tanh") for o in ("adam", "sgd") for s in noise
    ]  # fmt: skip
    return study(tmp_path, runs)


def test_an_interaction_is_the_difference_of_differences(tmp_path: Path) -> None:
    (interaction,) = interactions(crossed(tmp_path, 3.0))
    row = interaction.strongest
    assert row is not None and (row["a1"], row["b1"]) == ("relu", "adam")
    d = [3.0 + noise for noise in (0.0, 0.05, -0.04, 0.02)]
    assert row["difference"] == pytest.approx(sum(d) / 4)
    assert row["p"] == pytest.approx(stats.ttest_1samp(d, 0).pvalue)
    means = interaction.cells.set_index(["activation", "optim"])["mean"]
    assert means["tanh", "sgd"] - means["tanh", "adam"] - means["relu", "sgd"] + means["relu", "adam"] == pytest.approx(
        sum(d) / 4
    )


def test_without_an_interaction_none_is_claimed(tmp_path: Path) -> None:
    found = crossed(tmp_path, 0.0)
    assert interactions(found)[0].strongest is None and "depends on" not in said(found).get("What may be concluded", "")
    assert "The effect of activation depends on optim" in said(crossed(tmp_path / "with", 3.0))["What may be concluded"]


def test_the_table_of_settings_has_means_over_seeds_and_the_reports_columns(tmp_path: Path) -> None:
    values = [1.0, 2.0, 4.0]
    frame = tables.settings(study(tmp_path, grid({"relu": values}) + grid({"tanh": [50.0, 50.5, 51.0]}, optim="sgd")))
    assert list(frame.columns[:6]) == ["optimizer", "scheduler", "momentum", "hidden", "lr", "epochs"]
    half = stats.sem(values) * stats.t.ppf(0.975, 2)
    assert frame["best val loss"][0] == f"{sum(values) / 3:.1f} ± {half:.1f}" and frame["parameters"][0] == "9,473"


def test_no_run_is_missing_from_the_table_of_runs(tmp_path: Path) -> None:
    runs = grid({"relu": [3.0, 1.0], "tanh": [2.0, 0.5]})
    runs[3]["status"] = "diverged"
    (tmp_path / "study" / "broken").mkdir(parents=True)
    (tmp_path / "study" / "broken" / "summary.json").write_text("{")
    found = study(tmp_path, runs)
    frame = tables.runs(found)
    assert list(frame.index) == ["1", "2", "0", "3", "broken"]
    assert frame["status"].tolist() == ["completed"] * 3 + ["diverged in epoch 2", "damaged"]
    csv = tables.runs_csv(found)
    assert csv["value"].tolist()[:4] == [3.0, 1.0, 2.0, math.inf] and math.isnan(csv["value"]["broken"])


def test_markdown_and_latex_escape_what_they_would_read(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"a_b": ["x|y", "5 %"], "n": ["1", "2"]})
    assert documents.markdown(frame).splitlines() == ["| a_b | n |", "| --- | ---: |", "| x\\|y | 1 |", "| 5 % | 2 |"]
    latex = documents.latex(frame, "50 % & more")
    assert r"a\_b & n \\" in latex and r"5 \% & 2 \\" in latex and r"\caption{50 \% \& more}" in latex
    assert r"\begin{tabular}{lr}" in latex


def test_of_a_hundred_settings_the_sentences_stay_few(tmp_path: Path) -> None:
    runs = [
        {"activation": a, "data__batch_size": b, "optim__lr": lr, "seed": s, "losses": (90.0, s + b / 10 + 3 * (a == "tanh") + 0.01 * s * b)}
        for a in ("relu", "tanh") for b in (8, 16, 32, 64, 128) for lr in (0.1, 0.2) for s in (1, 2)
    ]  # fmt: skip
    found = verdict(study(tmp_path, runs))
    assert sum(len(sentences) for _, sentences in found.parts) < 45


def test_an_older_record_is_told_in_the_table(tmp_path: Path) -> None:
    for i, run in enumerate(grid({"relu": [1.0, 2.0], "tanh": [3.0, 4.0]})):
        write_run(tmp_path / "s" / str(i), **run)
    edit_summary(tmp_path / "s" / "0", config=None)
    found = compare(load_runs(tmp_path / "s"))
    assert (
        tables.runs(found).loc["0", "status"] == "damaged"
        and "lacks config" in tables.runs_csv(found).loc["0", "message"]
    )
