"""What should make one doubt a comparison, times to a target, and the tables behind the first screen."""

import math
from pathlib import Path

import pandas
import pytest
from made_studies import grid, study
from records import write_folds, write_run
from screens import line, tuned

from multirun_analysis import load_runs
from multirun_analysis.compare.checks import cautions
from multirun_analysis.compare.comparison import Comparison, compare
from multirun_analysis.compare.targets import reached, target_of, to_target
from multirun_analysis.report import documents, tables
from multirun_analysis.report.verdict import verdict


def warned(found: Comparison) -> str:
    return "\n".join(cautions(found))


def test_a_tuned_adam_that_loses_to_momentum_sgd_is_doubted(tmp_path: Path) -> None:
    runs = [run | {"optim": {"adam": "adam", "sgd": "sgd_momentum"}[run["optim"]]} for run in tuned()]
    assert "loses" not in warned(study(tmp_path / "won", runs))
    swapped = [run | {"optim": "adam" if run["optim"] == "sgd_momentum" else "sgd_momentum"} for run in runs]
    assert "adam, tuned, loses to sgd_momentum" in warned(study(tmp_path / "lost", swapped))


def test_a_rate_with_too_few_seeds_to_be_chosen_is_named(tmp_path: Path) -> None:
    extra = {"optim": "adam", "optim__lr": 0.5, "seed": 1, "losses": (90.0, 0.1)}
    assert "adam at optim.lr=0.5 tried with fewer than two thirds" in warned(study(tmp_path, [*tuned(), extra]))


def test_identical_curves_of_different_options_are_named(tmp_path: Path) -> None:
    text = warned(study(tmp_path, grid({"relu": [1.0, 1.1], "sigmoid": [1.0, 1.1], "tanh": [1.3, 1.4]})))
    assert "activation=relu and with activation=sigmoid have identical curves" in text and "tanh" not in text


def test_validation_and_test_that_agree_to_the_last_digit_are_suspicious(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0, 1.1], "tanh": [1.3, 1.4]})
    runs[0]["more"] = {"test": {"mse": 1.0, "r2": 0.5, "epoch": 2}}
    runs[1]["more"] = {"test": {"mse": 1.1001, "r2": 0.5, "epoch": 2}}
    assert "The test loss equals the validation loss of the same epoch in 0:" in warned(study(tmp_path, runs))


def test_folds_that_some_runs_lack_and_completed_runs_without_a_figure_are_named(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0, 1.1], "tanh": [1.3, float("nan")]})
    for i, run in enumerate(runs):
        directory = write_run(tmp_path / "study" / str(i), **run)
        if i < 2:
            write_folds(directory, [[9.0] * 5, [1.0] * 5])
    text = warned(compare(load_runs(tmp_path / "study")))
    assert (
        "2 of 4 runs have no usable folds.parquet" in text
        and "3: completed, but settled_val_loss is not finite" in text
    )


def test_other_versions_and_uncommitted_changes_are_named(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0], "tanh": [1.3]})
    runs[0]["more"] = {"versions": {"paribus": "0.2.0", "torch": "2.7.0"}, "git": {"commit": "def", "dirty": True}}
    text = warned(study(tmp_path, runs))
    assert "different versions of paribus: 0.2.0 (1 of the runs), 0.1.0" in text
    assert "different versions of torch: 2.7.0 (1 of the runs), 2.6.0" in text and "not committed" in text


@pytest.mark.parametrize("shared", [False, True])
def test_levels_that_different_code_made_are_named(tmp_path: Path, shared: bool) -> None:
    """Tanh is behind by 5; relu was made before a change of the code, tanh after it, but for its first seed if `shared`."""
    runs = grid({"relu": [1.0, 1.1, 1.2], "tanh": [6.0, 6.1, 6.25]})
    for run in runs[3 + shared :]:
        run["more"] = {"git": {"commit": "abc", "dirty": True, "patch": "0f"}}
    said = line(verdict(study(tmp_path, runs)), "CODE")
    seeds = " for 2 of 3 seeds" if shared else ""
    assert said.startswith(f"relu and tanh (activation) were made by different code{seeds}, which")
    later = grid({"relu": [1.0, 1.1, 1.2], "tanh": [6.0, 6.1, 6.25]})  # seeds that were added after the change, of both
    for run in (later[2], later[5]):
        run["more"] = {"git": {"commit": "abc", "dirty": True, "patch": "0f"}}
    assert not line(verdict(study(tmp_path / "later", later)), "CODE")


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
    rows = to_target(found, target).set_index("activation")
    assert rows.loc["relu", ["seeds", "reached", "median_epochs"]].tolist() == [3, 2, 3]
    assert rows.loc["tanh", ["seeds", "reached", "unknown"]].tolist() == [2, 1, 1]


def test_no_run_is_missing_from_the_tables(tmp_path: Path) -> None:
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


def test_markdown_and_latex_escape_what_they_would_read() -> None:
    frame = pandas.DataFrame({"a_b": ["x|y", "![i](http://x)"], "n": ["1", "2"]})
    assert documents.markdown(frame).splitlines()[2:] == ["| x\\|y | 1 |", "| !\\[i\\](http://x) | 2 |"]
    latex = documents.latex(pandas.DataFrame({"a_b": ["5 %"]}), "50 % & more")
    assert r"a\_b \\" in latex and r"5 \% \\" in latex and r"\caption{50 \% \& more}" in latex
