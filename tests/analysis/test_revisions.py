"""A study before and after a change of the code: which runs changed, by how much, and is it noise."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from analysis_command import analyse
from records import edit_summary, write_run
from scipy import stats

from multirun_analysis import load_runs
from multirun_analysis.compare.results import Verdict
from multirun_analysis.compare.revisions import AFTER, BEFORE, Revision, compare_revisions
from multirun_analysis.report.revision import as_object, describe_revision
from multirun_analysis.report.revision_page import compose_revision_page
from paribus import record

SEEDS = range(1, 6)


def make(root: Path, moved: dict[str, float], noise: float = 0.1, seeds: range = SEEDS) -> Revision:
    """Two optimizers; after the change those in `moved` end with losses that are higher by so much, and jitter."""
    random = np.random.default_rng(0)
    for side in (BEFORE, AFTER):
        for optim in ("adam", "sgd"):
            for seed in seeds:
                last = 5.0 + 0.3 * seed + (optim == "sgd")
                if side == AFTER and optim in moved:
                    last += moved[optim] + noise * random.normal()
                run = write_run(root / side / f"{optim},{seed}", (9.0, last, last), seed=seed, optim=optim)
                edit_summary(run, git={"commit": side * 8, "dirty": False, "patch": None, "left_out": []})
    return revise(root)


def revise(root: Path, **options: Any) -> Revision:
    study = load_runs([root / AFTER, root / BEFORE])
    return compare_revisions(study, {name for name in study.described if name.startswith(BEFORE)}, **options)


def last_loss(run: Path) -> float:
    return float(pandas.read_csv(run / record.METRICS, float_precision="round_trip")["val/loss"].iloc[-1])


def said(revision: Revision) -> dict[str, list[str]]:
    return {line.label: line.sentences for line in describe_revision(revision).lines}


def test_runs_that_are_equal_to_the_last_digit_are_unchanged(tmp_path: Path) -> None:
    found = make(tmp_path, {})
    assert len(found.pairs) == 10 and not found.changed and not found.whole
    assert found.facts == {"commit": ([f"{BEFORE * 8}"[:12]], [f"{AFTER * 8}"[:12]])}
    assert said(found)["CHANGED"] == ["nothing: all runs (10) are identical to the last digit"]
    assert as_object(found)["identical"] is True


def test_the_setting_that_changed_is_compared_over_its_seeds(tmp_path: Path) -> None:
    """Against scipy's paired t test; the unchanged setting is no part of it."""
    found = make(tmp_path, {"sgd": 1.0})
    assert {pair.before for pair in found.changed} == {f"{BEFORE}/sgd,{seed}" for seed in SEEDS}
    assert {pair.first_epoch for pair in found.changed} == {2} and not found.settings
    [result] = found.whole
    values = found.metric.of(load_runs([tmp_path / AFTER, tmp_path / BEFORE]))
    before, after = ([values[f"{side}/sgd,{seed}"] for seed in SEEDS] for side in (BEFORE, AFTER))
    expected = stats.ttest_rel(after, before)
    pair = result.pair(AFTER, BEFORE)
    assert pair is not None and pair.verdict == Verdict.WORSE
    assert pair.p == pytest.approx(expected.pvalue)
    assert pair.estimate.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.noise == pytest.approx((np.sqrt(np.mean(np.subtract(after, before) ** 2)),
                                         np.sqrt(2 * np.var(before, ddof=1))))  # fmt: skip
    assert said(found)["EFFECT"][0].startswith("val loss is worse by ")
    assert "from epoch 2 on (median 2); 5 are identical" in said(found)["CHANGED"][0]


def test_settings_are_named_where_only_some_of_them_moved(tmp_path: Path) -> None:
    found = make(tmp_path, {"adam": 0.0, "sgd": 2.0})
    verdicts = {levels["optim"]: result.pair(AFTER, BEFORE) for levels, result in found.settings}
    assert verdicts["sgd"] is not None and verdicts["sgd"].verdict == Verdict.WORSE
    assert verdicts["adam"] is not None and verdicts["adam"].verdict == Verdict.UNDECIDED
    assert [sentence.split(":")[0] for sentence in said(found)["SETTINGS"]] == ["sgd"]
    told = json.loads(json.dumps(as_object(found)))
    assert [one["levels"]["optim"] for one in told["settings"]] == ["adam", "sgd"]


def test_noise_is_told_from_an_effect_and_small_ones_are_the_same_within_a_margin(tmp_path: Path) -> None:
    found = make(tmp_path, {"adam": 0.0})
    assert said(found)["EFFECT"][0].startswith("no more than noise shows: val loss differs by ")
    assert said(revise(tmp_path, margin="0.5"))["EFFECT"][0].startswith("the same val loss within 0.50: ")


def test_statuses_missing_partners_and_other_data_are_counted(tmp_path: Path) -> None:
    make(tmp_path, {})
    edit_summary(tmp_path / AFTER / "adam,1", status=record.FAILED)
    (tmp_path / BEFORE / "adam,2").rename(tmp_path / "elsewhere")
    for name in ("sgd,1", "sgd,2"):
        data = record.read_summary(tmp_path / AFTER / name)["data"]
        edit_summary(tmp_path / AFTER / name, data={**data, "sha256": "f" * 64})
    found = said(revise(tmp_path))
    assert found["STATUS"] == ["1 from completed to failed"]
    assert found["MISSING"] == ["1 run only after; 2 on other data, not compared"]


def test_a_column_that_only_one_side_has_is_a_fact_and_no_change(tmp_path: Path) -> None:
    make(tmp_path, {"sgd": 2.0})
    for path in (tmp_path / AFTER).glob(f"*/{record.METRICS}"):
        pandas.read_csv(path, float_precision="round_trip").assign(**{"val/new": 1.5}).to_csv(path, index=False)
    found = said(revise(tmp_path))
    assert "from epoch 2 on (median 2); 5 are identical" in found["CHANGED"][0]
    assert "columns of one side: none -> val/new" in found["CODE"]


def test_one_seed_says_nothing_of_noise(tmp_path: Path) -> None:
    assert "one seed says nothing of noise" in said(make(tmp_path, {"sgd": 1.0}, seeds=range(1, 2)))["EFFECT"][0]


def test_the_picture_has_a_dot_a_run_and_a_band_as_wide_as_seeds_differ(tmp_path: Path) -> None:
    """Places against numbers worked out from the losses: 0 in the middle of 240, the reach 8 before the edges."""
    found = make(tmp_path, {"adam": 0.0, "sgd": 2.0})
    page = compose_revision_page(found, "<b>old</b>", "new")
    assert "&lt;b&gt;old&lt;/b&gt;" in page and "<b>" not in page and "http:" not in page
    rows = {row[0]: row[1] for row in re.findall(r"<tr><th scope='row'>([^<]+)<.*?<svg(.*?)</svg>", page)}
    assert list(rows) == ["all that changed", "sgd", "adam"] and "class='run'" not in rows["all that changed"]
    drawn, bands = ({name: [float(place) for place in re.findall(pattern, row)] for name, row in rows.items()}
                    for pattern in (r"class='run' cx='([\d.]+)'", r"class='seeds' x='[\d.]+' width='([\d.]+)'"))  # fmt: skip
    losses = {name: [[last_loss(tmp_path / side / f"{name},{seed}") for seed in SEEDS] for side in (BEFORE, AFTER)]
              for name in ("sgd", "adam")}  # fmt: skip
    unit = (drawn["sgd"][0] - 120) / (losses["sgd"][1][0] - losses["sgd"][0][0])
    for name, (before, after) in losses.items():
        assert drawn[name] == pytest.approx(120 + unit * np.subtract(after, before), abs=0.1)
        apart = np.subtract.outer(before, before)[~np.eye(5, dtype=bool)]
        assert bands[name] == pytest.approx([2 * unit * np.sqrt(np.mean(apart**2))], abs=0.2)


def test_a_page_of_nothing_that_changed_has_no_picture(tmp_path: Path) -> None:
    page = compose_revision_page(make(tmp_path, {}), "old", "new")
    assert "<svg" not in page and page.count("<td>identical</td>") == 10


def test_the_command_prints_lines_or_an_object_and_refuses_what_it_cannot_compare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path, {"sgd": 1.0})
    before, after = tmp_path / BEFORE, tmp_path / AFTER
    assert analyse(after, "--against", before) == 0
    assert "CHANGED" in capsys.readouterr().out
    written = after / "analysis" / "against_before"
    runs = pandas.read_csv(written / "runs.csv", float_precision="round_trip").set_index("after")
    assert runs["changed"].sum() == 5 and len(runs) == 10
    moved = runs.loc[f"{AFTER}/sgd,2"]
    values = [last_loss(side / "sgd,2") for side in (before, after)]
    assert [moved["value_before"], moved["value_after"], moved["difference"]] == [*values, values[1] - values[0]]
    shutil.rmtree(after / "analysis")
    assert analyse(after, "--against", before, "--json") == 0
    assert not (after / "analysis").exists()
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == 1 and len(told["runs"]) == 10 and told["effect"][0]["verdict"] == "worse"
    for options, message in (
        ((before, "--against", before), "one of the studies that it is held against"),
        ((after, "--against", before, "--by", "optim"), "knows no --by"),
    ):
        assert analyse(*options) == 1
        assert message in capsys.readouterr().err
    for run in before.iterdir():
        edit_summary(run, seed=77, config={**record.read_summary(run)["config"], "seed": 77})
    assert analyse(after, "--against", before) == 1
    assert "No run before the change is there after it too" in capsys.readouterr().err
