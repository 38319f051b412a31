"""Figures of outcomes, by what is drawn in them."""

from typing import Any

import numpy as np
import pytest
from made_runs import NAN, comparison, drawn, marks, strange
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from multirun_analysis.figures import outcomes, settings

BROKEN = {"status": "diverged", "broke": 1, "val/loss": [NAN]}


def runs(**losses: list[float | None]) -> list[dict[str, Any]]:
    """A run a seed for each optimizer, with this best loss; None: diverged."""
    return [
        {"optim": optim, "seed": seed, **({"val/loss": [value]} if value is not None else BROKEN)}
        for optim, values in losses.items()
        for seed, value in enumerate(values)
    ]


def ticks(axes: Axes, which: str) -> list[str]:
    axis = axes.xaxis if which == "x" else axes.yaxis
    return [label.get_text() for label in axis.get_ticklabels()]


def beside(axes: Axes) -> list[str]:
    return ticks(axes.child_axes[0], "y")


def all_texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def lines(axes: Axes, gid: str) -> list[list[float]]:
    return [np.asarray(line.get_xdata()).tolist() for line in axes.lines if line.get_gid() == gid]


def test_a_ranking_has_each_run_the_mean_its_interval_and_a_slot_for_what_diverged() -> None:
    found = comparison(runs(adam=[5.0, 6.0, 7.0], sgd=[2.0, 3.0, 4.0], nadam=[3.0, None, None]))
    (axes,) = drawn(outcomes.ranking(found.results[0], found)).axes
    assert ticks(axes, "y") == ["sgd", "adam", "nadam"]  # one that diverges in most of its runs is not ranked
    seeds = marks(axes, "seeds")
    assert sorted(seeds[~np.isnan(seeds[:, 0]), 0]) == [2, 3, 3, 4, 5, 6, 7]
    means = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "D"]
    assert means[:2] == [3, 6] and np.isnan(means[2])
    # 2, 3, 4: standard error 1 / sqrt(3), and the 0.975 quantile of t with two degrees of freedom is 4.303
    bar = axes.lines[0].get_xdata()
    assert bar.tolist() == pytest.approx([3 - 4.303 / 3**0.5, 3 + 4.303 / 3**0.5], abs=1e-3)
    assert len(marks(axes, "diverged")) == 2
    assert set(marks(axes, "diverged")[:, 1]) == {2} and marks(axes, "diverged")[:, 0].min() > 7
    assert ticks(axes, "x")[-1] == "diverged"
    assert beside(axes)[2] == "2 diverged"


def test_the_slot_lies_at_the_bad_end_and_one_exploding_run_leaves_room() -> None:
    made = [{"optim": o, "val/acc": [a], "val/loss": [1.0]} for o, a in (("adam", 0.8), ("sgd", 0.9))]
    found = comparison([*made, {"optim": "nadam", **BROKEN, "val/acc": [NAN]}])
    (axes,) = drawn(outcomes.ranking(found.results[0], found)).axes
    assert marks(axes, "diverged")[0, 0] < 0.8
    assert ticks(axes, "x")[0].endswith(" %") and ticks(axes, "x")[-1] == "diverged"
    found = comparison(runs(adam=[1.0], sgd=[2.0], nadam=[1e30]))
    (axes,) = drawn(outcomes.ranking(found.results[0], found)).axes
    assert axes.get_xscale() == "log" and axes.get_xlim()[1] < 1e8


def test_a_run_that_failed_has_a_place_of_its_own() -> None:
    failed = {"optim": "sgd", "seed": 9, "status": "failed"}
    found = comparison([*runs(adam=[1.0, 1.5], sgd=[2.0, None]), failed])
    (axes,) = drawn(outcomes.ranking(found.results[0], found)).axes
    assert len(marks(axes, "missing")) == 1 and len(marks(axes, "diverged")) == 1
    assert ticks(axes, "x")[-1] == "diverged\nor no figure"


def test_differences_are_from_the_best_level_paired_by_seed() -> None:
    found = comparison(runs(adam=[5.0, 6.0, 7.5], sgd=[2.0, 3.0, 4.0], nadam=[3.0, None, None]))
    (axes,) = drawn(outcomes.differences(found.results[0], found)).axes
    assert ticks(axes, "y") == ["sgd", "adam", "nadam"] and beside(axes)[0] == "best"
    ((mean,),) = lines(axes, "difference")
    assert mean == pytest.approx(np.mean([3, 3, 3.5]))
    ((low, high),) = lines(axes, "interval")
    assert low < mean < high and mean - low == pytest.approx(high - mean)
    (pair,) = [p for p in found.results[0].pairs if {p.a, p.b} == {"adam", "sgd"}]
    assert beside(axes)[1].startswith("worse" if pair.p_adjusted < 0.05 else "undecided")
    assert all_texts(axes) == ["unusable: 2 of 3 runs diverged"]


def test_the_margin_is_a_band_and_one_seed_gives_no_verdict() -> None:
    found = comparison(runs(**{f"o{i}": [10.0 + i] for i in range(7)}), margin=0.5)
    (axes,) = drawn(outcomes.differences(found.results[0], found)).axes
    assert ticks(axes, "y") == [f"o{i}" for i in range(7)]
    assert beside(axes) == ["best", *["exploratory (1 seed)"] * 6]
    (band,) = [patch for patch in axes.patches if patch.get_gid() == "margin"]
    assert (band.get_x(), band.get_width()) == (-0.5, 1.0)


def test_differences_of_shares_are_in_percentage_points() -> None:
    made = [
        {"optim": o, "seed": s, "val/acc": [a + s / 100], "val/loss": [1.0]}
        for o, a in (("adam", 0.5), ("sgd", 0.6))
        for s in (1, 2)
    ]
    found = comparison(made)
    (axes,) = drawn(outcomes.differences(found.results[0], found)).axes
    assert ticks(axes, "y") == ["sgd", "adam"] and lines(axes, "difference") == [[pytest.approx(-10)]]
    assert "percentage points" in axes.get_xlabel()


def swept() -> list[dict[str, Any]]:
    return [
        {
            "optim": o,
            "seed": s,
            "given": {"optim.lr": lr},
            "stability": 0.5,
            **({"val/loss": [loss + s]} if loss else BROKEN),
        }
        for o, base in (("adam", 1.0), ("sgd", 3.0))
        for lr in (0.01, 0.1, 1.0)
        for s in (0, 1)
        for loss in [None if (o, lr, s) == ("sgd", 1.0, 1) else base + lr]
    ]


def test_learning_rates_have_a_dot_a_run_and_lines_through_means_over_seeds() -> None:
    left, right = drawn(settings.lr_against(comparison(swept()))).axes
    assert left.get_xscale() == "log"
    assert [line.get_ydata().tolist() for line in left.lines] == [
        pytest.approx([1.51, 1.6, 2.5]),
        pytest.approx([3.51, 3.6, 4.0]),
    ]
    dots = marks(left, "runs")
    assert len(dots[~np.isnan(dots[:, 1])]) == 11
    for axes, bad in ((left, 4.1), (right, None)):
        assert marks(axes, "diverged")[:, 0].tolist() == [1.0]
        assert "diverged" in ticks(axes, "y")
        y = marks(axes, "diverged")[0, 1]
        assert y > bad if bad else y < 0.5  # of losses at the top, of stability at the bottom
    assert [label for label in ticks(left, "x") if label] == ["0.01", "0.1", "1"]
    assert settings.lr_against(comparison(runs(adam=[1.0], sgd=[2.0]))) is None


def test_means_over_seeds_never_join_other_factors() -> None:
    made = [
        {"optim": o, "activation": a, "given": {"optim.lr": lr}, "val/loss": [x + y + lr]}
        for o, x in (("adam", 0), ("sgd", 10))
        for a, y in (("relu", 1), ("tanh", 2))
        for lr in (0.1, 1.0)
    ]
    (axes, *_) = drawn(settings.lr_against(comparison(made))).axes
    found = sorted(line.get_ydata().tolist() for line in axes.lines)
    assert found == [pytest.approx([x + 0.1, x + 1]) for x in (1, 2, 11, 12)]
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 4


def test_parallel_coordinates_have_a_line_a_run_and_a_place_for_what_diverged() -> None:
    (axes,) = drawn(settings.parallel_coordinates(comparison(swept()))).axes
    parts = {part.get_gid(): part for part in axes.collections if isinstance(part, LineCollection)}
    completed = np.array(parts["completed"].get_segments())
    assert completed.shape == (11, 3, 2)
    ends = completed[:, 2, 1]
    # the best loss is 1.01, at the top, the worst 4.1
    values = [b + lr + s for b in (1, 3) for lr in (0.01, 0.1, 1) for s in (0, 1) if (b, lr, s) != (3, 1, 1)]
    assert sorted(ends) == pytest.approx(sorted((4.1 - v) / (4.1 - 1.01) for v in values))
    (diverged,) = parts["diverged"].get_segments()
    assert diverged[2, 1] < 0 and "diverged" in all_texts(axes)
    # numbers that span much lie by their logarithm: 0.01, 0.1, 1
    assert sorted(set(np.round(completed[:, 1, 1] * 2) / 2)) == [0, 0.5, 1]
    assert [label for label in ticks(axes, "x") if label] == ["optim", "optim.lr", "best_val_loss"]
    colours = parts["completed"].get_colors()
    assert tuple(colours[ends.argmax()]) != tuple(colours[ends.argmin()])


def test_two_factors_have_means_in_cells_and_say_what_diverged_and_what_is_not_there() -> None:
    made = [run for run in swept() if (run["optim"], run["given"]["optim.lr"]) != ("adam", 0.1)]
    axes = drawn(settings.two_factors(comparison(made), "optim", "optim.lr")).axes[0]
    assert (ticks(axes, "y"), ticks(axes, "x")) == (["adam", "sgd"], ["0.01", "0.1", "1"])
    said = {text.get_position(): text.get_text() for text in axes.texts}
    assert said == {(0, 0): "1.51", (2, 0): "2.5", (0, 1): "3.51", (1, 1): "3.6", (2, 1): "4\ndiverged 1/2"}
    (hatched,) = [part for part in axes.collections if part.get_gid() == "no run"]
    ((x, y), *_) = hatched.get_paths()[0].vertices
    assert len(hatched.get_paths()) == 1 and (x, y) == (0.5, -0.5)


def test_two_factors_have_a_panel_for_each_context_of_the_others() -> None:
    made = [run | {"activation": a} for run in swept() for a in ("relu", "tanh")]
    *panels, _ = drawn(settings.two_factors(comparison(made), "optim", "optim.lr")).axes
    assert [axes.get_title() for axes in panels] == ["activation=relu", "activation=tanh"]
    assert [len(axes.texts) for axes in panels] == [6, 6]


@pytest.mark.parametrize(("name", "made"), strange(), ids=lambda given: given if isinstance(given, str) else "")
def test_strange_runs_are_drawn(name: str, made: list[dict[str, Any]]) -> None:
    found = comparison(made)
    figures = [settings.lr_against(found), settings.parallel_coordinates(found)]
    figures += [
        draw(result, found) for result in found.results[:1] for draw in (outcomes.ranking, outcomes.differences)
    ]
    if len(found.factors) > 1:
        figures.append(settings.two_factors(found, found.factors[0], found.factors[1]))
    for figure in figures:
        if figure is not None:
            drawn(figure)
