"""Figures of curves, by what is drawn in them."""

from typing import Any

import numpy as np
import pytest
from made_runs import NAN, comparison, drawn, marks, strange, texts
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from multirun_analysis.figures import curves, schedules


def lines(axes: Axes) -> list[list[float]]:
    """The y of all lines of the axes' collections, as far as they are finite."""
    paths = [path for part in axes.collections if hasattr(part, "get_segments") for path in part.get_segments()]
    return [[y for _, y in path if np.isfinite(y)] for path in paths]


def note(figure: Figure) -> str:
    return " ".join(figure.get_supxlabel().split())


TWO = [
    {"optim": "adam", "seed": 1, "val/loss": [5, 3, 4], "train/loss": [6, 4, 2]},
    {"optim": "adam", "seed": 2, "val/loss": [7, 5, 2], "train/loss": [8, 4, 2]},
    {"optim": "sgd", "seed": 1, "val/loss": [9, 8, 7], "train/loss": [9, 9, 9]},
    {"optim": "sgd", "seed": 2, "val/loss": [9, NAN], "train/loss": [9, NAN], "status": "diverged", "broke": 2},
]


def test_overlaid_draws_means_over_seeds_their_best_and_where_runs_broke() -> None:
    figure = drawn(curves.overlaid(comparison(TWO), "optim", "val/loss"))
    (axes,) = figure.axes
    # of sgd the one completed seed; the diverged one up to where it broke
    assert sorted(lines(axes)) == [[6, 4, 3], [9], [9, 8, 7]]
    assert marks(axes, "diverged").tolist() == [[1, 9]]
    assert sorted(marks(axes, "best").tolist()) == [[3, 3], [3, 7]]
    assert "adam: 3 at 3" in texts(figure) and "sgd: 7 at 3" in texts(figure)
    assert figure.get_suptitle() == "val/loss by optim (4 runs, 2 settings)"
    assert "line: mean of 1 to 2 seeds" in note(figure) and "1 of 4 runs diverged (x)" in note(figure)


def test_the_band_is_students_interval() -> None:
    (axes,) = drawn(curves.overlaid(comparison(TWO[:2]), None, "val/loss")).axes
    (band,) = [part for part in axes.collections if isinstance(part, PolyCollection)]
    at_two = [y for x, y in band.get_paths()[0].vertices if x == 2]
    # 3 and 5: mean 4, standard error 1, and the 0.975 quantile of t with one degree of freedom is 12.706
    assert min(at_two) == pytest.approx(4 - 12.706, abs=1e-3) and max(at_two) == pytest.approx(4 + 12.706, abs=1e-3)


def test_the_band_on_a_log_axis_is_of_the_logarithm_and_of_a_share_within_0_and_1() -> None:
    half = 12.706205 * np.std([0.01, 0.03], ddof=1) / 2**0.5
    runs = [{"seed": s, "val/loss": [v, 100 * v]} for s, v in ((1, 0.01), (2, 0.03))]
    (axes,) = drawn(curves.overlaid(comparison(runs), None, "val/loss")).axes
    (band,) = [part for part in axes.collections if isinstance(part, PolyCollection)]
    at_one = [y for x, y in band.get_paths()[0].vertices if x == 1]
    assert axes.get_yscale() == "log"
    assert [min(at_one), max(at_one)] == pytest.approx([0.02 * np.exp(-half / 0.02), 0.02 * np.exp(half / 0.02)], 1e-5)
    runs = [{"seed": s, "val/acc": [v, 0.5], "val/loss": [1.0, 1.0]} for s, v in ((1, 0.95), (2, 0.99))]
    (axes,) = drawn(curves.overlaid(comparison(runs), None, "val/acc")).axes
    (band,) = [part for part in axes.collections if isinstance(part, PolyCollection)]
    assert max(y for _, y in band.get_paths()[0].vertices) == 1
    assert all(0 <= tick <= 1 for tick in axes.get_yticks())


def test_a_mean_has_no_value_where_one_of_its_seeds_has_none() -> None:
    runs = [{"seed": 1, "val/loss": [4, 3, 2]}, {"seed": 2, "val/loss": [6, NAN, 4]}]
    (axes,) = drawn(curves.overlaid(comparison(runs), None, "val/loss")).axes
    assert [5, 3] in lines(axes) and not any(3 in line and len(line) == 3 for line in lines(axes))


def test_the_best_of_an_accuracy_is_its_highest_in_per_cent() -> None:
    runs = [{"val/acc": [0.5, 0.9, 0.7], "val/loss": [1, 1, 1]}]
    figure = drawn(curves.overlaid(comparison(runs), None, "val/acc"))
    assert marks(figure.axes[0], "best").tolist() == [[2, 0.9]]
    assert "90.00 % at 2" in texts(figure)
    assert all(label.get_text().endswith(" %") for label in figure.axes[0].get_yticklabels())


def test_a_second_factor_has_the_dashes() -> None:
    runs = [{"optim": o, "activation": a, "val/loss": [2, 1]} for o in ("adam", "sgd") for a in ("relu", "tanh")]
    (axes,) = drawn(curves.overlaid(comparison(runs), "optim", "val/loss")).axes
    (part,) = [part for part in axes.collections if hasattr(part, "get_segments") and len(part.get_segments()) == 4]
    colours = [tuple(colour) for colour in part.get_colors()]
    dashes = [str(dash) for dash in part.get_linestyle()]
    assert colours[0] == colours[2] != colours[1] == colours[3]  # relu adam, relu sgd, tanh adam, tanh sgd
    assert dashes[0] == dashes[1] != dashes[2] == dashes[3]


def test_more_settings_than_the_legend_holds_are_told_by_level_with_the_best_line() -> None:
    runs = [
        {"optim": o, "given": {"k": k}, "val/loss": [9, k + b]} for o, b in (("adam", 1), ("sgd", 2)) for k in range(8)
    ]
    figure = drawn(curves.overlaid(comparison(runs), "optim", "val/loss"))
    assert "adam: 1 at 2" in texts(figure) and "sgd: 2 at 2" in texts(figure)
    assert len(lines(figure.axes[0])) == 16


def test_one_exploding_run_does_not_spoil_the_limits() -> None:
    runs = [{"given": {"k": k}, "val/loss": [9, 5, 3 + k]} for k in range(3)]
    runs.append({"given": {"k": 9}, "val/loss": [9, 1e30, 1e29]})
    (axes,) = drawn(curves.overlaid(comparison(runs), "k", "val/loss")).axes
    assert axes.get_ylim()[1] < 100 and axes.get_ylim()[0] < 3
    alone = [{"given": {"k": k}, "val/loss": [900, 5, 3 + k]} for k in range(3)]
    (axes,) = drawn(curves.overlaid(comparison(alone), "k", "val/loss")).axes
    assert axes.get_yscale() == "log" and axes.get_ylim()[1] > 900  # what all begin with is no explosion


def test_four_panels_leave_out_what_equals_the_loss() -> None:
    runs = [run | {"val/mse": run["val/loss"], "val/mae": [1, 1, 1]} for run in TWO[:3]]
    figure = drawn(curves.four_panels(comparison(runs), "optim"))
    assert [axes.get_title() for axes in figure.axes] == ["train/loss", "val/loss", "val/mae"]
    assert sorted(lines(figure.axes[1])) == [[5, 3, 4], [7, 5, 2], [9, 8, 7]]
    named = ["train/loss", "val/loss", "train/acc", "val/acc"]
    figure = drawn(curves.four_panels(comparison([{name: [0.1, 0.2] for name in named}]), None))
    assert [axes.get_title() for axes in figure.axes] == named


def test_per_level_has_a_panel_a_level_with_its_runs_over_all_others() -> None:
    figure = drawn(curves.per_level(comparison(TWO), "optim", "val/loss"))
    assert [axes.get_title() for axes in figure.axes] == ["adam (2 runs)", "sgd (2 runs)"]
    for axes, own in zip(figure.axes, ([[5, 3, 4], [7, 5, 2]], [[9, 8, 7], [9]]), strict=True):
        grey, mine = (part for part in axes.collections if hasattr(part, "get_segments"))
        assert len(grey.get_segments()) == 4
        assert [[y for _, y in line if np.isfinite(y)] for line in mine.get_segments()] == own
    assert [len(marks(axes, "diverged")) for axes in figure.axes] == [0, 1]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


def test_steps_are_those_of_the_record() -> None:
    runs = [{"given": {"b": b}, "steps": s, "val/loss": [4, 3, 2]} for b, s in ((32, 20), (64, 10))]
    (axes,) = drawn(curves.accuracy_against_step(comparison(runs), "b")).axes
    assert [line.get_xdata().tolist() for line in axes.lines] == [[20, 40, 60], [10, 20, 30]]
    assert len({line.get_marker() for line in axes.lines}) == 2


def test_schedules_are_drawn_once_each_and_named_by_what_tells_them_apart() -> None:
    runs = [
        {"scheduler": "cosine", "optim": "adam", "lr": [1.0, 0.1, 0.001], "seed": 1},
        {"scheduler": "cosine", "optim": "sgd", "lr": [1.0, 0.1, 0.001], "seed": 1},
        {"scheduler": "cosine", "optim": "adam", "lr": [1.0], "seed": 2, "status": "diverged"},
        {"scheduler": "none", "optim": "adam", "lr": [0.5, 0.5, 0.5], "seed": 1},
        {"scheduler": "none", "optim": "sgd", "lr": [0.5, 0.5, 0.5], "seed": 1},
    ]
    figure = drawn(schedules.schedules(comparison(runs)))
    (axes,) = figure.axes
    assert [line.get_ydata().tolist() for line in axes.lines] == [[1.0, 0.1, 0.001], [0.5, 0.5, 0.5]]
    assert axes.get_yscale() == "log"
    assert texts(figure) == "scheduler: | cosine (3 runs) | none (2 runs)"
    flat = comparison([{"lr": [0.5, 0.4]}])
    assert drawn(schedules.schedules(flat)).axes[0].get_yscale() == "linear"
    assert schedules.schedules(comparison([{"val/loss": [1.0]}])) is None


def test_learning_curves_have_both_losses_and_the_mean_predictor() -> None:
    figure = drawn(curves.learning_curves(comparison([run | {"baseline": 50.0} for run in TWO]), "optim"))
    adam, sgd = figure.axes
    assert sorted(lines(adam)) == [[6, 4, 3], [7, 4, 2]]
    assert adam.lines[0].get_ydata()[0] == 50 and adam.get_ylim()[1] > 50
    assert len(marks(sgd, "diverged")) == 1 and len(marks(adam, "diverged")) == 0
    many = [{"optim": o, "given": {"k": k}, "val/loss": [9, k + 1]} for o in ("adam", "sgd") for k in range(8)]
    many.append({"optim": "sgd", "given": {"k": 0}, "seed": 2, "val/loss": [NAN], "status": "diverged"})
    figure = drawn(curves.learning_curves(comparison(many), "optim"))
    assert [axes.get_title() for axes in figure.axes] == [
        "adam, 0",
        "sgd, 1",
    ]  # a setting that diverged is not the best
    assert "2 of 16 settings are shown" in note(figure)


def test_rates_that_differ_little_have_plain_numbers_at_the_axis() -> None:
    figure = drawn(schedules.schedules(comparison([{"lr": [0.001, 0.001 - 1e-12, 0.001 - 2e-12]}])))
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len(set(labels)) == len(labels) > 1 and not axes.yaxis.get_offset_text().get_text()
    assert [float(label) for label in labels] == pytest.approx(axes.get_yticks())
    low, high = axes.get_ylim()
    assert low < 0.001 - 2e-12 and high > 0.001


@pytest.mark.parametrize(("name", "runs"), strange(), ids=lambda given: given if isinstance(given, str) else "")
@pytest.mark.slow
def test_strange_runs_are_drawn(name: str, runs: list[dict[str, Any]]) -> None:
    found = comparison(runs)
    factor = found.factors[0] if found.factors else None
    diverged = sum(run.get("status") == "diverged" for run in runs)
    for draw in (curves.overlaid, curves.per_level):
        figure = draw(found, factor, "val/loss")
        if figure is None:
            assert not any("val/loss" in run for run in runs)
            continue
        drawn(figure)
        assert sum(len(marks(axes, "diverged")) for axes in figure.axes) == diverged
        assert draw(found, factor, "val/acc") is None
    for draw in (curves.four_panels, curves.accuracy_against_step, curves.learning_curves):
        if (figure := draw(found, factor)) is not None:
            drawn(figure)
    if (figure := schedules.schedules(found)) is not None:
        drawn(figure)


def test_a_run_that_never_had_a_value_ends_at_the_bad_edge() -> None:
    gone = {"status": "diverged", "broke": 1}
    (axes,) = drawn(
        curves.overlaid(comparison([*TWO[:2], gone | {"optim": "sgd", "val/loss": [NAN]}]), None, "val/loss")
    ).axes
    assert marks(axes, "diverged").tolist() == [[1, axes.get_ylim()[1]]]
    (axes,) = drawn(curves.overlaid(comparison([gone | {"val/loss": [NAN]}]), None, "val/loss")).axes
    assert marks(axes, "diverged").tolist() == [[1, axes.get_ylim()[1]]]
    accurate = {"val/acc": [0.5, 0.6], "val/loss": [1, 1]}
    made = [accurate, gone | {"val/acc": [NAN], "val/loss": [NAN], "seed": 2}]
    (axes,) = drawn(curves.overlaid(comparison(made), None, "val/acc")).axes
    assert marks(axes, "diverged").tolist() == [[1, axes.get_ylim()[0]]]


def test_runs_that_are_there_twice_count_once() -> None:
    runs = [{"seed": 1, "val/loss": [4.0, 2.0], "identity": "a"}, {"seed": 1, "val/loss": [8.0, 8.0], "identity": "a"}]
    figure = drawn(curves.overlaid(comparison(runs), None, "val/loss"))
    assert lines(figure.axes[0]) == [[4, 2]]
    assert "1 run recorded twice counts once" in note(figure)


def test_runs_that_have_not_ended_well_end_with_a_circle() -> None:
    runs = [*TWO[:2], {"optim": "adam", "seed": 3, "val/loss": [6, 5], "status": "failed"}]
    figure = drawn(curves.overlaid(comparison(runs), None, "val/loss"))
    assert marks(figure.axes[0], "missing").tolist() == [[2, 5]]
    assert [6, 4, 3] in lines(figure.axes[0])  # they have no part in the mean
    assert "1 failed (o)" in note(figure)
