"""Studies whose seeds are added in looks: what their verdict says, and what it never says."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from records import edit_summary, write_run
from scipy.stats import ttest_rel

from multirun_analysis import load_runs
from multirun_analysis.compare.claims import Answer, check_claim
from multirun_analysis.compare.comparison import Comparison, compare
from multirun_analysis.compare.judge import check_margin, judge_look
from multirun_analysis.compare.looks import judge_looks
from multirun_analysis.compare.results import Result, Verdict
from multirun_analysis.compare.sequential import Look, Looks, nominal_levels
from multirun_analysis.report.verdict import verdict
from paribus import record
from paribus.errors import UserError
from paribus.record import TakenLook, UntilPlan, write_plan

AT = (3, 5, 8)
NOISE = np.random.default_rng(3).normal(size=(4, 8))


def write(root: Path, losses: Mapping[str, Sequence[float]], taken: int, margin: str | None = None) -> UntilPlan:
    """Write runs, a loss by level and seed, and the plan of their study after so many looks."""
    for level, values in losses.items():
        for seed, loss in enumerate(values, 1):
            write_run(root / f"{level}{seed}", (9.0, float(loss)), seed, activation=level)
    looks = tuple(TakenLook(n, "settled_val_loss", (), ()) for n in AT[:taken])
    plan = UntilPlan(
        tuple(range(1, 9)), AT, 1.1, margin, False, tuple(f"activation={level}" for level in losses), looks
    )
    write_plan(root, plan)
    return plan


def read(root: Path) -> Comparison:
    return compare(load_runs(root))


def test_where_all_diverge_lower_rates_are_for_a_new_study(tmp_path: Path) -> None:
    """The plan of this one is fixed."""
    for level in ("relu", "tanh"):
        for seed in (1, 2, 3):
            path = write_run(
                tmp_path / f"{level}{seed}", (float("nan"),), seed, activation=level, status="diverged", optim__lr=1000
            )
            edit_summary(
                path, study="s", command=f"python train.py model=regression study=s activation={level} seed={seed}"
            )
    taken = (TakenLook(3, "settled_val_loss", (), ()),)
    write_plan(tmp_path, UntilPlan((1, 2, 3), (3,), 1.1, None, False, ("activation=relu", "activation=tanh"), taken))
    found = verdict(read(tmp_path)).command or ""
    assert "study=s_lower" in found and "optim.lr=100" in found.split()


def test_a_pair_is_judged_by_the_bound_of_its_look(tmp_path: Path) -> None:
    a = 10 + NOISE[0]
    b = a[:5] + np.array([1.0, 0.1, 1.5, 0.6, 0.5])
    write(tmp_path, {"relu": a[:5], "tanh": b}, 2)
    (result,) = read(tmp_path).results
    (pair,) = result.pairs
    plain = ttest_rel(a[:5], b).pvalue
    assert pair.p == pytest.approx(Look(AT, 2, 1.1).adjust(plain))
    assert 0.01 < plain < 0.05 < pair.p_adjusted and pair.verdict == Verdict.UNDECIDED
    half = (pair.estimate.interval[1] - pair.estimate.interval[0]) / 2
    wide = ttest_rel(a[:5], b).confidence_interval(1 - nominal_levels(AT, 0.05 / 1.1)[1])
    assert half == pytest.approx((wide.high - wide.low) / 2)
    claim = check_claim(read(tmp_path), "activation: relu <= tanh")
    assert claim.answer == Answer.UNDECIDED  # one-sided, the plain p would hold
    text = verdict(read(tmp_path)).text()
    assert "look 2 of 3, 5 seeds: not decided yet" in text and "seeds would show" not in text


def test_only_looks_that_were_taken_are_judged(tmp_path: Path) -> None:
    a, b = 10 + 0.1 * NOISE[0], 20 + 0.1 * NOISE[1]
    write(tmp_path, {"relu": a[:5], "tanh": b[:5]}, 0)
    (result,) = read(tmp_path).results
    assert not result.concluded
    write(tmp_path, {"relu": a[:5], "tanh": b[:5]}, 1)
    (result,) = read(tmp_path).results
    assert [pair.estimate.n for pair in result.pairs] == [3]


def test_a_level_that_is_out_gets_no_more_seeds_and_stays_below(tmp_path: Path) -> None:
    means = {"relu": 10.0, "tanh": 10.0, "elu": 30.0}
    losses = {level: mean + 0.2 * NOISE[i] for i, (level, mean) in enumerate(means.items())}
    plan = write(tmp_path, {level: values[:3] for level, values in losses.items()}, 0)
    found = judge_look(tmp_path, plan.take(TakenLook(3, "", (), ())))
    assert found.undecided == ["relu and tanh"] and found.metric == "settled_val_loss"
    assert {path.name for path in found.going_on} == {f"{level}{n}" for level in ("relu", "tanh") for n in (1, 2, 3)}
    # the level that is out has three seeds, on which it is made to look best in the mean
    shifted = {level: values + np.where(np.arange(8) < 3, 0, 50) for level, values in losses.items()}
    write(tmp_path, {"relu": shifted["relu"], "tanh": shifted["tanh"], "elu": shifted["elu"][:3]}, 3)
    (result,) = read(tmp_path).results
    assert result.levels[-1].level == "elu"
    assert {(pair.a, pair.b): pair.verdict for pair in map(result.pair, ("relu", "tanh"), ("elu", "elu")) if pair} == {
        ("relu", "elu"): Verdict.BETTER,
        ("tanh", "elu"): Verdict.BETTER,
    }


def test_what_was_decided_stays_unless_it_turns_round_and_a_chain_is_concluded(tmp_path: Path) -> None:
    write(tmp_path, {"relu": 10 + NOISE[0], "tanh": 11 + NOISE[1], "elu": 12 + NOISE[2]}, 2)
    (result,) = read(tmp_path).results
    (first, second, third) = result.pairs  # relu and tanh, relu and elu, tanh and elu, in the order of levels
    behind = first.estimate._replace(mean=-first.estimate.mean)

    def decided(at_first: Verdict, at_second: Verdict, turned: bool = False) -> list[Verdict]:
        """The verdicts after two looks, of which the first one decides on two pairs."""

        def judge(looks: Looks) -> list[Result]:
            later = looks.taken == 2
            pairs = [
                replace(first, verdict=Verdict.UNDECIDED if later else at_first, p_adjusted=0.9 if later else 0.01,
                        estimate=behind if later and turned else first.estimate),
                replace(second, verdict=at_second, p_adjusted=0.02),
                replace(third, verdict=Verdict.UNDECIDED, p_adjusted=0.5),
            ]  # fmt: skip
            return [replace(result, pairs=pairs, trend=None)]

        (after,) = judge_looks(Looks(tuple(range(1, 9)), AT, 1.1, 2), judge)
        return [pair.verdict for pair in after.pairs]

    assert decided(Verdict.WORSE, Verdict.UNDECIDED)[0] == Verdict.WORSE
    assert decided(Verdict.SAME, Verdict.UNDECIDED)[0] == Verdict.SAME
    assert decided(Verdict.WORSE, Verdict.UNDECIDED, turned=True)[0] == Verdict.UNDECIDED
    assert {(first.a, first.b), (second.a, second.b), (third.a, third.b)} == {
        ("elu", "relu"), ("elu", "tanh"), ("relu", "tanh")
    }  # fmt: skip
    # elu is behind relu and ahead of tanh: relu is better than tanh
    assert decided(Verdict.WORSE, Verdict.BETTER)[2] == Verdict.BETTER


def test_a_margin_ends_a_study_without_a_difference(tmp_path: Path) -> None:
    losses = {"relu": 10 + 0.1 * NOISE[0], "tanh": 10 + 0.1 * NOISE[1]}
    plan = write(tmp_path, {level: values[:3] for level, values in losses.items()}, 0, margin="3")
    found = judge_look(tmp_path, plan.take(TakenLook(3, "", (), ())))
    assert found.undecided == [] and found.going_on == set()
    write_plan(tmp_path, plan.take(TakenLook(3, "settled_val_loss", (), ("activation=relu", "activation=tanh"))))
    assert [pair.verdict for pair in read(tmp_path).results[0].pairs] == [Verdict.SAME]
    assert "decided at look 1 of 3, 3 seeds" in verdict(read(tmp_path)).text()


def test_runs_without_their_plan_or_beside_others_are_refused(tmp_path: Path) -> None:
    losses = {"relu": 10 + NOISE[0], "tanh": 12 + NOISE[1]}
    write(tmp_path / "a", losses, 3)
    write_run(tmp_path / "b" / "relu1", (9.0, 1.0), 1)
    with pytest.raises(record.RecordError, match=r"a is a study with until=decided.*Give its directory alone"):
        load_runs([tmp_path / "a", tmp_path / "b"])
    marked = record.read_summary(tmp_path / "b" / "relu1")
    marked["config"]["sequential"] = True
    record.write_json(tmp_path / "b" / "relu1" / record.SUMMARY, marked)
    with pytest.raises(record.RecordError, match=r"no until\.json beside them"):
        load_runs(tmp_path / "b")
    for text in ("{", '{"version": 2}', '{"version": 1, "seeds": []}'):
        (tmp_path / "a" / record.UNTIL).write_text(text)
        with pytest.raises(record.RecordError, match=r"until\.json (is damaged|has version 2)"):
            load_runs(tmp_path / "a")


@pytest.mark.parametrize(("margin", "loss", "metric"), [
    ("0.2pt", "torch.nn.CrossEntropyLoss", None), ("0.5", "torch.nn.MSELoss", None), ("0.5", "torch.nn.MSELoss", "val/mae"),
])  # fmt: skip
def test_a_margin_fits_the_metric_before_anything_is_trained(margin: str, loss: str, metric: str | None) -> None:
    check_margin(margin, {"loss": {"_target_": loss}, "metric": metric})
    with pytest.raises(UserError, match="does not fit"):
        check_margin(margin.removesuffix("pt") if "pt" in margin else f"{margin}pt", {"loss": {"_target_": loss}})
