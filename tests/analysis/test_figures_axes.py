"""Scales and means, against figures worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from made_runs import NAN, comparison
from matplotlib.figure import Figure
from scipy import stats

from multirun_analysis.figures.axes import Scale, Slot, choose_scale, set_scale
from multirun_analysis.figures.encoding import encode

THREE = [{"optim": o, "seed": s, "val/loss": [1.0]} for o in ("adam", "sgd") for s in (1, 2, 3)]


def table(values: list[list[float]]) -> pd.DataFrame:
    return pd.DataFrame(values, [f"run{i}" for i in range(len(values))])


def test_means_and_intervals_are_those_of_scipy() -> None:
    values = table([[1.0, 4.0], [2.0, 5.0], [6.0, 9.0], [0.9, 0.9], [0.95, NAN], [0.99, 0.2]])
    encoding = encode(comparison(THREE), "optim")
    means = encoding.means(values)
    for column in (0, 1):
        sample = values[column][:3]
        low, high = stats.t.interval(0.95, 2, sample.mean(), stats.sem(sample))
        assert means.middle[column][0] == pytest.approx(sample.mean())
        assert (means.low[column][0], means.high[column][0]) == pytest.approx((low, high))
    assert means.middle[0][1] == pytest.approx(np.mean([0.9, 0.95, 0.99])) and np.isnan(means.middle[1][1])
    log = encoding.means(values, log=True)
    half = stats.t.ppf(0.975, 2) * stats.sem(values[0][:3])
    assert (log.low[0][0], log.high[0][0]) == pytest.approx((3 * np.exp(-half / 3), 3 * np.exp(half / 3)))
    share = encoding.means(values, share=True)
    assert share.high[0][1] == 1 and share.low[0][1] == pytest.approx(means.low[0][1])


def test_a_run_without_a_row_is_not_waited_for_and_a_broken_one_has_no_part() -> None:
    runs = [*THREE[:3], {"optim": "adam", "seed": 4, "val/loss": [9.0], "status": "diverged"}]
    encoding = encode(comparison(runs), "optim")
    found = encoding.means(table([[1.0], [2.0], [6.0], [100.0]]).drop(index="run1"))
    assert found.middle.to_numpy().tolist() == [[3.5]]
    assert encoding.means(table([[1.0], [np.inf], [6.0], [100.0]])).middle.isna().all(axis=None)


@pytest.mark.parametrize(
    ("lines", "log", "inside", "outside"),
    [
        ([[9, 5, 3], [9, 5, 4]], False, [3, 9], []),
        ([[900, 5, 3], [800, 5, 4]], True, [3, 900], []),  # where all begin is no explosion
        ([[9, 5, 3], [9, 5, 4], [9, 5, 5], [9, 1e30, 1e29]], True, [3, 9], [1e29]),
        ([[1e-5, 1e-6], [1e2, 1e1]], True, [1e-6, 1e2], []),  # two settings that differ are shown both
        ([[-1.0, 1.0], [0.5, 0.7]], False, [-1, 1], []),
    ],
)
def test_limits_show_all_but_what_explodes(
    lines: list[list[float]], log: bool, inside: list[float], outside: list[float]
) -> None:
    scale = choose_scale(lines)
    assert scale.log == log
    assert all(scale.low < value < scale.high for value in inside)
    assert not any(scale.low < value < scale.high for value in outside)
    assert scale.place(outside).tolist() == [scale.high] * len(outside)
    assert scale.count_beyond([*inside, *outside, NAN]) == len(outside)


def test_limits_follow_broken_runs_and_intervals_as_far_as_there_is_room() -> None:
    assert choose_scale([[1.0, 2.0]], [3.0]).high > 3
    assert 200 < choose_scale([[1.0, 200.0]], [1e9]).high < 1000
    scale = choose_scale([[1.0, 2.0]], bands=[-100.0, 2.1])
    assert -1 < scale.low < 1 and 2.1 < scale.high < 2.5


def test_zeros_of_a_log_axis_have_a_tick_of_their_own_below_all_else() -> None:
    scale = choose_scale([[0.0, 1e-3], [1.0, 0.1]], log=True)
    assert scale.low < scale.floor < 1e-3 and scale.place([0.0]).tolist() == [scale.floor]
    assert scale.ticks[scale.floor] == "0" and all(tick > scale.floor for tick in list(scale.ticks)[1:])


@pytest.mark.parametrize("value", [0.0, 1e15, -1e15, 1e300, 1e-30, 0.001])
@pytest.mark.parametrize("relative", [0.0, 1e-15, 1e-9])
def test_values_that_hardly_differ_have_an_axis_with_different_ticks(value: float, relative: float) -> None:
    scale = choose_scale([[value, value * (1 + relative)]])
    axes = Figure().subplots()
    set_scale(axes, scale)
    axes.figure.draw_without_rendering()
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert scale.low < value < scale.high and len(set(labels)) == len(labels) >= 2
    assert [float(label) for label in labels] == pytest.approx(axes.get_yticks(), rel=1e-5)


def test_shares_have_ticks_between_0_and_100_per_cent() -> None:
    ticks = choose_scale([[0.9, 1.0]], bands=[0.8, 1.0], share=True).ticks
    assert min(ticks) >= 0.8 and max(ticks) == 1 and ticks[1.0] == "100 %"
    assert choose_scale([[0.0, 0.0]], share=True, zero=True).place([-1.0]).tolist() == [0]


@pytest.mark.parametrize(("which", "at_high"), [("x", True), ("x", False), ("y", True), ("y", False)])
def test_a_slot_lies_beyond_the_values_at_the_bad_end(which: str, at_high: bool) -> None:
    axes = Figure().subplots()
    scale = Scale(1.0, 100.0, log=True)
    runs = pd.DataFrame({"end": ["completed", "diverged", "diverged", "missing"], "place": [1.0, 2.0, 2.0, 3.0]})
    slot = Slot(axes, scale, which, at_high, runs["end"])
    slot.draw_marks(runs, "place")
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    assert (low, high) == pytest.approx((1, 100**1.16) if at_high else (100**-0.16, 100))
    points = {part.get_gid(): np.asarray(part.get_offsets()) for part in axes.collections}
    across = {end: found[:, 0 if which == "x" else 1] for end, found in points.items()}
    assert {end: len(found) for end, found in across.items()} == {"diverged": 2, "missing": 1}
    assert len(set(across["diverged"])) == 2  # side by side
    assert all(
        ((found > 100) & (found < high) if at_high else (found < 1) & (found > low)).all() for found in across.values()
    )
    axis = axes.xaxis if which == "x" else axes.yaxis
    assert [label.get_text() for label in axis.get_ticklabels()][-1] == "diverged\nor no figure"
