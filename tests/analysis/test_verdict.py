"""The first screen: what is said of each factor, for any study, in 25 lines."""

import json
import shlex
from pathlib import Path

import numpy as np
import pandas
import pytest
from made_runs import comparison
from made_studies import grid, study
from records import write_folds, write_run
from screens import SEEDS, STUDIES, crossed, fits, line

from multirun_analysis import load_runs
from multirun_analysis.compare.comparison import compare
from multirun_analysis.compare.plateau import still_improves
from multirun_analysis.report import documents
from multirun_analysis.report.verdict import verdict
from multirun_analysis.report.verdict_json import as_json, as_object


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


def test_unusable_settings_are_named_by_what_they_agree_in() -> None:
    found = verdict(comparison(STUDIES["81 runs"]))
    assert line(found, "UNUSABLE") == "6 settings (sgd, lr >= 0.01): 18 of 81 runs diverged there"
    assert "81 runs of 27 settings (63 completed, 18 diverged)" in found.heading


def test_what_matters_is_said_to_the_last_per_cent() -> None:
    """By hand: 4 settings of 3 runs at 1, 3, 1 and 7, with -1, 0 and 1 added by the seeds, and a margin.

    Sums of squares: 48 of the activation, 12 of the optimizer, 12 of both, 8 within the settings, of which a degree of freedom
    has 1: 47, 11, 11 and the rest of 80.
    """
    runs = [{"activation": a, "optim": o, "seed": s, "val/loss": [10.0 + mean + s]}
            for (a, o), mean in zip((("x", "a"), ("y", "a"), ("x", "b"), ("y", "b")), (1, 3, 1, 7), strict=True)
            for s in (-1, 0, 1)]  # fmt: skip
    found = verdict(comparison(runs, margin="0.5"))
    assert line(found, "MATTERS") == "activation 59 % of the variance, optimizer 14 %, combinations 14 %, seeds 14 %"
    assert found.heading.endswith("(12 completed), margin 0.50, by best_val_loss")


def test_ahead_by_the_selected_epoch_alone_is_said(tmp_path: Path) -> None:
    for a, s in ((a, s) for a in ("relu", "tanh") for s in SEEDS):
        dip = 3.0 + 0.03 * s**2 if a == "tanh" else 5.0  # one good epoch of tanh, which ends no better
        losses = (9.0, dip + 0.1 * s, *[6.0 + 0.1 * s + 0.01 * s**2 * (a == "tanh")] * 8)
        run = write_run(tmp_path / "study" / f"{a}{s}", losses, seed=s, activation=a)
        write_folds(run, [[loss] * 5 for loss in losses])
    found = compare(load_runs(tmp_path / "study"))
    assert found.metric.name == "selected_val_loss"
    assert "tanh" in line(verdict(found), "HOLDS FOR") and "settled" in line(verdict(found), "HOLDS FOR")


def test_which_of_two_equals_leads_by_another_figure_is_not_said(tmp_path: Path) -> None:
    for a, s in ((a, s) for a in ("relu", "elu", "sigmoid") for s in SEEDS):
        end = 5.0 + (20.0 if a == "sigmoid" else 0.1 * (-1) ** s * (a == "elu")) + 0.3 * s
        low = 0.05 * (a == "relu")  # relu leads by its best epoch, elu at the end
        losses = (40.0, end - low, *[end + low] * 8)
        write_folds(write_run(tmp_path / "study" / f"{a}{s}", losses, seed=s, activation=a), [[x] * 5 for x in losses])
    found = compare(load_runs(tmp_path / "study"))
    assert found.other is not None
    leaders = {result.best.level for results in (found.results, found.other[1]) for result in results if result.best}
    assert len(leaders) == 2 and "sigmoid" in line(verdict(found), "ACTIVATION")
    assert " leads" not in verdict(found).text()


def test_curves_that_still_rise_bound_the_claim() -> None:
    rising = [
        {"activation": a, "seed": s, "val/loss": [10.0 / e + s for e in range(1, 11)]}
        for a in ("x", "y")
        for s in (0, 0.1, 0.2)
    ]
    assert line(verdict(comparison(rising)), "HOLDS FOR") == "this budget: most runs still improve at its end"
    both = [
        run | {"given": {"trainer.max_epochs": n}, "val/loss": run["val/loss"][:n]} for run in rising for n in (5, 10)
    ]
    said = line(verdict(comparison(both)), "HOLDS FOR")
    assert said == "budgets of 5 to 10 epochs: most runs still improve at their ends"
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


def test_what_has_no_statistic_yet_is_not_called_unusable() -> None:
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


def test_labels_of_factors_are_told_apart() -> None:
    runs = [{"given": {f"model.a_rather_long_name_{k}": 1 + (k == i) for k in range(5)} | {"optim.momentum": 0.5 + 0.1 * (i == 5),
             "model.momentum": 1 + (i == 6)}, "seed": s, "val/loss": [9.0, 5.0 + i + 0.1 * s]} for i in range(8) for s in SEEDS]  # fmt: skip
    by = ["model.a_rather_long_name_1", "model.a_rather_long_name_2", "optim.momentum", "model.momentum"]
    labels = [one.label for one in verdict(comparison(runs, by=by)).lines if one.factor]
    assert len(labels) == 4 == len(set(labels)) and max(map(len, labels)) <= 14


@pytest.mark.parametrize("name", ["one run", "81 runs", "all diverged", "nothing ended"])
def test_the_verdict_for_programs_is_json_without_nan(name: str) -> None:
    found = comparison(STUDIES[name])
    parsed = json.loads(as_json(as_object(found, verdict(found), None)), parse_constant=lambda text: pytest.fail(text))
    assert parsed["schema"] == 1 and parsed["metric"] == "best_val_loss"
    assert sum(parsed["runs"].values()) == len(STUDIES[name])
    assert {"factors", "best", "unusable", "shares", "next", "claim", "blocks", "confounded"} <= set(parsed)


def test_settings_with_fewer_seeds_are_no_candidates_for_the_best_and_counted() -> None:
    runs = [{"optim": "adam", "seed": s, "val/loss": [9.0, 5.0 + s]} for s in (1, 2, 3)]
    runs += [{"optim": "sgd", "seed": s, "val/loss": [9.0, 6.0 + s]} for s in (1, 2, 3)]
    runs += [{"optim": "rmsprop", "seed": 1, "val/loss": [9.0, 1.0]}]
    best = line(verdict(comparison(runs)), "BEST FOUND")
    assert best == "adam: val loss 7 (3 seeds; the best of 2, so optimistic; 1 with fewer seeds left out)"


def test_what_unusable_settings_have_not_is_no_reason() -> None:
    """All at a rate of 0.1; momentum is a value that none of them has."""
    runs = [{"optim": o, "given": {"optim.lr": lr, **({"optim.momentum": 0.9} if o == "nesterov" else {})}, "seed": s,
             "val/loss": [9.0, float("nan") if lr == 0.1 and o != "nesterov" else 5.0 + s],
             "status": "diverged" if lr == 0.1 and o != "nesterov" else "completed"}
            for o in ("adam", "sgd", "nesterov") for lr in (0.01, 0.1) for s in (1, 2, 3)]  # fmt: skip
    said = line(verdict(comparison(runs)), "UNUSABLE")
    assert said.startswith("2 settings (adam or sgd, lr 0.1): 6 of 18 runs diverged there")


@pytest.mark.parametrize("count", [4, 8])
@pytest.mark.slow
@pytest.mark.cases(999)
def test_levels_that_are_not_told_from_the_best_are_named_or_counted(count: int) -> None:
    """A parabola over many rates, so flat around its vertex that noise hides which one is best."""
    random, rates = np.random.default_rng(0), [float(f"{10**-e:.2g}") for e in np.linspace(0, 5, 3 * count)]
    runs = [{"given": {"optim.lr": rate}, "seed": s, "val/loss": [99.0, 20 + 3 * max(0, abs(i - 1.5 * count) - count / 2) + random.normal()]}
            for i, rate in enumerate(rates) for s in (1, 2, 3)]  # fmt: skip
    result = next(r for r in comparison(runs).results if r.factor == "optim.lr")
    assert result.trend is not None and result.trend.shown and result.best is not None
    tied = [level for level in result.trend.tied if level != result.best.level]
    said = line(verdict(comparison(runs)), "LR").partition("not told from it: ")[2]
    assert said == (
        ", ".join(f"{t:g}" for t in tied) if len(tied) <= 6 else f"{len(tied)} from {tied[0]:g} to {tied[-1]:g}"
    )
    assert (len(tied) > 6) == (count == 8)


def test_an_undecided_pair_has_its_difference_and_the_seeds_it_rests_on(tmp_path: Path) -> None:
    """Relu has seeds 1 to 3, tanh 1 and 2, where they differ by 1 and -1: 0 in the mean, though the means differ."""
    runs = grid({"relu": [2.0, 3.0, 9.0], "tanh": [1.0, 4.0]})
    (said,) = (one.sentences for one in verdict(study(tmp_path, runs)).lines if one.label == "ACTIVATION")
    assert said[1].startswith("relu 0 behind [") and said[1].endswith(", over the 2 seeds of both")
    assert not any("seeds would show" in sentence for sentence in said)  # two pairs tell nothing of the noise


def test_levels_with_identical_values_are_said_to_have_them(tmp_path: Path) -> None:
    """As Adam and AdamW are, both best without weight decay."""
    losses = {"adam": (1.0, 2.0), "adamw": (1.0, 3.0), "sgd": (1.5, 2.5)}
    runs = [{"optim": o, "optim__weight_decay": w, "seed": s, "losses": (9.0, found[w > 0] + s**2 * 0.3 * (1 + (o == "sgd")))}
            for o, found in losses.items() for w in (0, 0.1) for s in SEEDS]  # fmt: skip
    said = line(verdict(study(tmp_path, runs)), "OPTIMIZER")
    assert said.startswith("undecided") and "adam and adamw have identical values in all 3 seeds" in said


def test_what_is_undecided_leads_to_a_new_study_with_fresh_seeds(tmp_path: Path) -> None:
    found = verdict(study(tmp_path, grid({"relu": [1.0, 2.0, 1.5], "tanh": [1.5, 1.6, 1.9]})))
    words = shlex.split(found.command or "")
    assert "undecided" in line(found, "ACTIVATION") and "adds fresh seeds" in line(found, "NEXT")
    assert {"until=decided", "seed=101", "activation=relu,tanh"} <= set(words)
    assert any(word.startswith("study=") and word.endswith("_until") for word in words)


def test_zero_is_no_edge_below_which_anything_could_be_tried(tmp_path: Path) -> None:
    runs = [{"optim": o, "optim__weight_decay": w, "seed": s,
             "losses": (9.0, 1 + 10 * w + (o == "sgd") + 0.01 * s + 0.002 * s * (o == "sgd"))}
            for o in ("adam", "sgd") for w in (0, 0.01, 0.1) for s in SEEDS]  # fmt: skip
    found = verdict(study(tmp_path, runs))
    assert line(found, "WEIGHT DECAY") == "best of each: adam 0, sgd 0" and "widen" not in line(found, "NEXT")
    assert "each at its best weight_decay, at its default lr" in line(found, "OPTIMIZER")


def test_runs_without_folds_that_change_the_statistic_are_counted_in_the_heading(tmp_path: Path) -> None:
    for i, (activation, loss) in enumerate([("relu", 1.0), ("relu", 1.1), ("tanh", 2.0), ("tanh", 2.3)]):
        run = write_run(tmp_path / str(i), (9.0, loss), seed=i % 2, activation=activation)
        if i:
            write_folds(run, [[9.0] * 5, [loss] * 5])
    found = verdict(compare(load_runs(tmp_path)))
    assert found.heading.endswith("by settled_val_loss (1 without usable folds.parquet: --details)")
