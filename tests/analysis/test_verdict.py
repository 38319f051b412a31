"""The first screen, claims, and the verdict for programs."""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from conftest import ROOT
from hydra import compose, initialize_config_dir
from made_runs import comparison
from records import edit_summary, write_folds, write_run
from test_compare import SEEDS, grid, study

from multirun_analysis import load_runs
from multirun_analysis.compare.checks import cautions
from multirun_analysis.compare.claims import Answer, check_claim
from multirun_analysis.compare.comparison import Comparison, compare
from multirun_analysis.compare.plateau import still_improves
from multirun_analysis.compare.targets import reached, target_of, to_target
from multirun_analysis.report import documents, tables
from multirun_analysis.report.verdict import Verdict, verdict
from multirun_analysis.report.verdict_json import as_json, as_object
from paribus.errors import UserError


def line(found: Verdict, label: str) -> str:
    return " ".join(sentence for one in found.lines if one.label == label for sentence in one.sentences)


def fits(found: Verdict) -> bool:
    """Whether it is a first screen: 25 lines of 80 columns and 150 words, but for the command."""
    text = found.text().split("\n\n  ")[0]
    lines = text.splitlines()
    return len(lines) <= 25 and max(map(len, lines)) <= 80 and len(text.split()) <= 150


def crossed(levels: Mapping[str, Sequence[Any]], seeds: int, seed: int = 0) -> list[dict[str, Any]]:
    random = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = [{}]
    for key, values in levels.items():
        rows = [{**row, key: value} for row in rows for value in values]
    groups = ("activation", "optim", "scheduler", "model", "data")
    return [
        {**{k: v for k, v in row.items() if k in groups}, "given": {k: v for k, v in row.items() if k not in groups},
         "seed": s, "val/loss": [9.0, float(random.normal(5, 1))]}
        for row in rows for s in range(seeds)
    ]  # fmt: skip


LEVELS = {"activation": ["relu", "tanh", "gelu"], "optim": ["adam", "sgd", "rmsprop"], "optim.lr": [0.001, 0.01, 0.1]}
STUDIES: dict[str, list[dict[str, Any]]] = {
    "one run": crossed({}, 1),
    "two runs": crossed({"activation": ["relu", "tanh"]}, 1),
    "81 runs": [run | ({"status": "diverged", "val/loss": [float("nan")]} if run["optim"] == "sgd"
                       and run["given"]["optim.lr"] > 0.001 else {}) for run in crossed(LEVELS, 3)],
    "1,000 runs": crossed({**LEVELS, "data.batch_size": [32, 64, 128, 256], "model.dropout": [0.0, 0.1, 0.2]}, 3)[:1000],
    "twelve factors": [{"given": {f"model.a_rather_long_name_{k}": i + j for k in range(12) for j in [k * (i > k)]},
                        "seed": s, "val/loss": [9.0, 5.0 + i]} for i in range(12) for s in (1, 2)],
    "long names": crossed({"activation": ["a" * 90, "b" * 90, "c" * 200], "optim": ["d" * 60, "e" * 60]}, 3),
    "all diverged": [run | {"status": "diverged", "val/loss": [float("nan")]} for run in crossed(LEVELS, 2)],
    "nothing ended": [run | {"status": status} for run in crossed({"optim": ["adam", "sgd"]}, 2)
                      for status in ("failed", "unfinished", "running", "damaged")],
    "a hundred levels": crossed({"optim.lr": [0.001 * 1.05**i for i in range(100)]}, 2),
}  # fmt: skip


@pytest.mark.parametrize("name", STUDIES)
def test_the_first_screen_fits_any_study(name: str) -> None:
    found = verdict(comparison(STUDIES[name]))
    assert fits(found), found.text()
    assert any(one.label == "NEXT" for one in found.lines)


def test_it_says_what_was_found_and_by_how_much(tmp_path: Path) -> None:
    found = verdict(
        study(tmp_path, grid({"relu": [11.0, 12.0, 13.1], "tanh": [16.0, 17.1, 18.2], "gelu": [16, 17.3, 18.0]}))
    )
    assert "9 runs of 3 settings (9 completed), by settled_val_loss" in found.heading
    best = line(found, "BEST FOUND")
    assert best.startswith("relu: val loss 12.03 (3 seeds") and "optimistic" in best
    assert line(found, "ACTIVATION").startswith("relu beats ") and " by 5.0" in line(found, "ACTIVATION")


def test_what_is_undecided_says_what_more_seeds_would_show(tmp_path: Path) -> None:
    text = line(verdict(study(tmp_path, grid({"relu": [11.0, 12.0, 13.0], "tanh": [11.4, 12.1, 12.9]}))), "ACTIVATION")
    assert text.startswith("undecided: relu 12, tanh 12.13") and "10 seeds would show a difference of" in text


def test_one_seed_is_exploratory_and_asks_for_more(tmp_path: Path) -> None:
    found = verdict(study(tmp_path, grid({"relu": [1.0], "tanh": [2.0]})))
    assert "exploratory" in line(found, "ACTIVATION") and found.command is not None
    assert shlex.split(found.command)[-2:] == ["activation=relu,tanh", "seed=1,2,3,4,5"]


def test_optimizers_at_their_defaults_are_said_to_be_so_and_the_next_step_is_to_tune(tmp_path: Path) -> None:
    runs = [{"optim": o, "seed": s, "losses": (9.0, 5 + s + 9 * (o == "sgd") + 0.1 * s * (o == "sgd"))}
            for o in ("adam", "sgd") for s in SEEDS]  # fmt: skip
    found = verdict(study(tmp_path, runs))
    assert "each at its default lr" in line(found, "OPTIMIZER") and "optim.lr=" in (found.command or "")


def tuned(better: float = 0.01) -> list[dict[str, Any]]:
    return [
        {"optim": o, "optim__lr": lr, "seed": s,
         "losses": (90.0, 20 + 5 * (lr != better) + 4 * (o == "sgd") + s + 0.01 * s**2 * (o == "adam"))}
        for o in ("adam", "sgd") for lr in (0.001, 0.01, 0.1) for s in SEEDS
    ]  # fmt: skip


def test_an_edge_is_named_and_widened_and_a_middle_is_confirmed(tmp_path: Path) -> None:
    edge = verdict(study(tmp_path / "edge", tuned(0.1)))
    assert "EDGE" in line(edge, "LR") and "widen lr to 1" in line(edge, "NEXT")
    assert "optim.lr=1" in shlex.split(edge.command or "")
    middle = verdict(study(tmp_path / "middle", tuned()))
    assert "EDGE" not in line(middle, "LR") and "confirm the top 3 on 10 fresh seeds" in line(middle, "NEXT")
    words = shlex.split(middle.command or "")
    assert "confirm=true" in words and "seed=range(101,111)" in words


@pytest.mark.parametrize("which", ["edge", "middle", "uncrossed"])
def test_the_next_command_is_one_that_hydra_composes(tmp_path: Path, which: str) -> None:
    runs = tuned(0.1 if which == "edge" else 0.01)
    if which == "uncrossed":
        runs = [run | ({"optim": "sgd_momentum", "optim__momentum": 0.5} if run["optim"] == "sgd" else {})
                for run in tuned(0.1)]  # fmt: skip
    for i, run in enumerate(runs):
        directory = write_run(tmp_path / "study" / str(i), **run)
        edit_summary(directory, command=f"python train.py model=regression study=study optim={run['optim']} seed=1")
    found = verdict(compare(load_runs(tmp_path / "study")))
    words = shlex.split(found.command or "")
    assert words[:3] == ["python", "train.py", "--multirun"] and "model=regression" in words
    single = [w.split(",")[0] if not w.startswith(("hydra.", "seed=")) else w for w in words[3:]]
    single = [w for w in single if not w.startswith("seed=")]
    with initialize_config_dir(str(ROOT / "conf"), version_base=None):
        config = compose("train", single, return_hydra_config=True)
    assert config.model._target_.endswith("MLP") or "regression" in str(config.model._target_).lower()
    grids = config.hydra.sweeper.grids
    if which == "uncrossed":
        assert {frozenset(grid) for grid in grids} == {frozenset({"optim"}), frozenset({"optim", "optim.momentum"})}


def test_unusable_settings_are_named_by_what_they_agree_in() -> None:
    found = verdict(comparison(STUDIES["81 runs"]))
    assert line(found, "UNUSABLE") == "6 settings (sgd, lr >= 0.01): 18 of 81 runs diverged there"
    assert "81 runs of 27 settings (63 completed, 18 diverged)" in found.heading


def test_runs_that_did_not_end_are_counted_and_the_next_step_is_to_finish(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0, 1.1, 1.2], "tanh": [0.1, 0.2, 0.3]})
    runs[0]["status"], runs[5]["status"] = "failed", "interrupted"
    found = verdict(study(tmp_path, runs))
    assert "1 failed" in found.heading and "1 failed, 1 interrupted" in line(found, "MISSING")
    assert "finish" in line(found, "NEXT")


def test_ahead_by_the_selected_epoch_alone_is_said(tmp_path: Path) -> None:
    for a, s in ((a, s) for a in ("relu", "tanh") for s in SEEDS):
        dip = 3.0 + 0.03 * s**2 if a == "tanh" else 5.0  # one good epoch of tanh, which ends no better
        losses = (9.0, dip + 0.1 * s, *[6.0 + 0.1 * s + 0.01 * s**2 * (a == "tanh")] * 8)
        run = write_run(tmp_path / "study" / f"{a}{s}", losses, seed=s, activation=a)
        write_folds(run, [[loss] * 5 for loss in losses])
    found = compare(load_runs(tmp_path / "study"))
    assert found.metric.name == "selected_val_loss"
    assert "tanh" in line(verdict(found), "HOLDS FOR") and "settled" in line(verdict(found), "HOLDS FOR")


def test_curves_that_still_rise_bound_the_claim() -> None:
    rising = [
        {"activation": a, "seed": s, "val/loss": [10.0 / e + s for e in range(1, 11)]}
        for a in ("x", "y")
        for s in (0, 0.1, 0.2)
    ]
    assert "still improve" in line(verdict(comparison(rising)), "HOLDS FOR")
    assert still_improves(np.linspace(0.5, 0.9, 10), higher=True, share=True)
    assert not still_improves(np.full(10, 0.9), higher=True, share=True)
    noisy = 1 + 0.2 * np.random.default_rng(0).normal(size=100)
    assert not still_improves(noisy, higher=False, share=False)


def test_two_data_sets_are_never_ranked() -> None:
    runs = [run | {"data": d, "val/loss": [v * (9 if d == "hard" else 1) for v in run["val/loss"]]}
            for d in ("easy", "hard") for run in crossed({"activation": ["relu", "tanh"]}, 3)]  # fmt: skip
    found = verdict(comparison(runs))
    assert "not compared" in line(found, "DATA") and "hard" not in line(found, "BEST FOUND").replace("hard,", "")
    assert {one.factor for one in found.lines if one.factor} == {"data", "activation"}


def test_no_sentence_speaks_of_two_data_sets_at_once() -> None:
    runs = [run | {"data": d, "val/loss": [v * (9 if d == "hard" else 1) for v in run["val/loss"]]}
            for d in ("easy", "hard") for run in crossed({"activation": ["relu", "tanh"], "optim": ["adam", "sgd"]}, 4)]  # fmt: skip
    found = comparison(runs)
    said = [sentence for one in verdict(found).lines for sentence in one.sentences]
    said += [str(cell) for _, part in documents.details(found, [], None) for cell in
             (part if isinstance(part, list) else part.to_numpy().ravel())]  # fmt: skip
    assert any("easy" in sentence for sentence in said) and any("hard" in sentence for sentence in said)
    assert not [sentence for sentence in said if "easy" in sentence and "hard" in sentence]
    assert not [pair for result in found.results for pair in result.pairs if {pair.a, pair.b} & {"easy", "hard"}]


def test_what_has_no_figure_yet_is_not_called_unusable() -> None:
    runs = [{"activation": a, "seed": s, "val/loss": [2.0, 1.0 + 0.1 * s]} for a in ("relu", "tanh") for s in SEEDS]
    for run in runs[:3]:
        run["status"] = "failed"
    for run in runs[3:5]:
        run["status"] = "diverged"
    text = line(verdict(comparison(runs)), "ACTIVATION")
    assert "relu has no val loss yet" in text and "tanh unusable: diverges in most of its runs" in text


def test_runs_without_validation_have_not_diverged(tmp_path: Path) -> None:
    nothing = float("nan")
    for s in SEEDS:
        run = write_run(tmp_path / "study" / str(s), (3.0, 2.0), seed=s, more={"test": {"mse": 1.0 + s, "epoch": 2}})
        frame = pandas.read_csv(run / "metrics.csv").assign(
            **{"val/loss": nothing, "val/mse": nothing, "val/mae": nothing}
        )
        frame.to_csv(run / "metrics.csv", index=False)
    found = compare(load_runs(tmp_path / "study"))
    said = verdict(found)
    assert found.values.isna().all() and not line(said, "UNUSABLE")
    assert line(said, "MISSING").startswith("3 completed without a val loss")
    assert "--metric test_mse" in line(said, "NEXT")
    tested = compare(load_runs(tmp_path / "study"), metric="test_mse")
    assert "val" not in line(verdict(tested), "BEST FOUND") and tested.values.tolist() == [2.0, 3.0, 4.0]


def test_where_all_diverge_the_next_rates_are_lower_than_all_that_were_tried() -> None:
    runs = [{"optim": o, "given": {"optim.lr": lr}, "seed": s, "status": "diverged", "val/loss": [float("nan")]}
            for o in ("adam", "sgd") for lr in (0.1, 0.01) for s in SEEDS]  # fmt: skip
    found = verdict(comparison(runs))
    assert "lower the learning rate" in line(found, "NEXT") and not line(found, "BEST FOUND")
    words = dict(word.split("=") for word in shlex.split(found.command or "")[3:])
    assert words["optim"].split(",") == ["adam", "sgd"] and words["seed"] == "1,2,3"
    assert all(float(rate) < 0.01 for rate in words["optim.lr"].split(","))


def test_a_test_set_that_was_read_is_not_to_be_read_again(tmp_path: Path) -> None:
    runs = grid({"relu": [11.0, 12.0, 13.1], "tanh": [16.0, 17.1, 18.2]})
    assert "evaluate.py" in (verdict(study(tmp_path / "a", runs)).command or "")
    runs = [run | {"more": {"test": {"mse": 11.0, "epoch": 1}}} for run in runs]
    read = verdict(study(tmp_path / "b", runs))
    assert read.command is None and "has been read" in line(read, "NEXT")


def test_labels_of_factors_are_told_apart() -> None:
    runs = [{"given": {f"model.a_rather_long_name_{k}": 1 + (k == i) for k in range(5)} | {"optim.momentum": 0.5 + 0.1 * (i == 5),
             "model.momentum": 1 + (i == 6)}, "seed": s, "val/loss": [9.0, 5.0 + i + 0.1 * s]} for i in range(8) for s in SEEDS]  # fmt: skip
    by = ["model.a_rather_long_name_1", "model.a_rather_long_name_2", "optim.momentum", "model.momentum"]
    labels = [one.label for one in verdict(comparison(runs, by=by)).lines if one.factor]
    assert len(labels) == 4 == len(set(labels)) and max(map(len, labels)) <= 14


@pytest.mark.parametrize("quoted", [True, False])
def test_what_is_missing_is_made_by_the_command_in_the_log(tmp_path: Path, quoted: bool) -> None:
    typed = ["study=study", "hydra.sweeper.grids=[{optim: adam, optim.lr: 0.1}, {optim: sgd}]", "seed=range(1,4)"]
    logged = shlex.join(typed) if quoted else " ".join(typed)  # as by older versions
    runs = grid({"relu": [1.0, 1.1], "tanh": [0.1, 0.2]})
    runs[0]["status"] = "failed"
    found = study(tmp_path, runs)
    log = f"2026-01-01 10:00:00 4 runs, 0 of them finished: {logged} hydra.mode=MULTIRUN\n2026-01-01 10:00:01 [1/4] completed\n"
    (tmp_path / "study" / "study.log").write_text(log)
    assert shlex.split(verdict(found).command or "") == ["python", "train.py", "--multirun", *typed]


def test_the_content_of_data_is_no_override(tmp_path: Path) -> None:
    runs = [{"optim": o, "seed": s, "losses": (9.0, 5.0 + s + (o == "sgd") + 0.1 * s * (o == "sgd")),
             "more": {"data": {"sha256": sha, "train": 700, "val": 150}}}
            for o in ("adam", "sgd") for s in SEEDS for sha in ("0" * 10, "1" * 10)]  # fmt: skip
    found = study(tmp_path, runs)
    assert found.blocks == ["data content"]
    assert "content" not in (verdict(found).command or "")


def claim(found: Comparison, text: str) -> Answer:
    return check_claim(found, text).answer


def test_claims_hold_are_refuted_or_undecided(tmp_path: Path) -> None:
    found = study(tmp_path, grid({"relu": [11.0, 12.0, 13.1], "tanh": [16.0, 17.1, 18.2], "gelu": [11.3, 11.8, 13.4]}))
    assert claim(found, "activation: relu <= tanh") == Answer.HOLDS
    assert claim(found, "activation: relu <= tanh - 4") == Answer.HOLDS
    assert claim(found, "activation: relu >= tanh") == Answer.REFUTED
    assert claim(found, "activation: relu <= tanh - 6") == Answer.REFUTED
    assert claim(found, "activation: relu < gelu") == Answer.UNDECIDED
    assert claim(found, "activation: relu == gelu +- 3") == Answer.HOLDS
    assert claim(found, "activation: relu == tanh +- 1") == Answer.REFUTED
    assert [answer.exit_code for answer in Answer] == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("activaton: relu <= tanh", "Did you mean 'activation'"), ("activation: rellu <= tanh", "Did you mean 'relu'"),
        ("activation: relu == tanh", "needs a margin"), ("activation: relu <= tanh - 0.3pt", "unit of"),
        ("relu is best", "Its form is"), ("activation: relu <= tanh +- 1", "=="), ("", "Its form is"),
    ],
)  # fmt: skip
def test_claims_that_cannot_be_read_say_how(tmp_path: Path, text: str, message: str) -> None:
    found = study(tmp_path, grid({"relu": [1.0, 2.0], "tanh": [1.5, 2.1]}))
    with pytest.raises(UserError, match=message):
        check_claim(found, text)


@pytest.mark.parametrize("name", ["one run", "81 runs", "all diverged", "nothing ended"])
def test_the_verdict_for_programs_is_json_without_nan(name: str) -> None:
    found = comparison(STUDIES[name])
    parsed = json.loads(as_json(as_object(found, verdict(found), None)), parse_constant=lambda text: pytest.fail(text))
    assert parsed["schema"] == 1 and parsed["metric"] == "best_val_loss"
    assert sum(parsed["runs"].values()) == len(STUDIES[name])
    assert {"factors", "best", "unusable", "shares", "next", "claim", "blocks", "confounded"} <= set(parsed)


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
