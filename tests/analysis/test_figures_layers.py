"""Figures of layers, from records made by hand, against figures worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
from layer_studies import JOINED, curves, drawn, gradients, made, marks, read, shares, write
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from scipy.stats import t

from multirun_analysis import load_runs
from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.figures import layers
from multirun_analysis.figures.depth import depth_against_gradient


def test_weight_and_bias_are_joined_by_their_sizes(tmp_path: Path) -> None:
    rows = gradients((1.0, 5.0), (2.0, np.nan))
    rows += [(0, "alone", 2, "weight", "size", 7.0), (1, "alone", 2, "weight", "grad_mean_abs", 4.0)]
    rows += [(1, "linear1", 0, "weight", "grad_norm", 100.0), (1, "strange", 3, "weight", "grad_mean_abs", 1.0)]
    write(tmp_path / "s" / "a", rows=rows)
    write(tmp_path / "s" / "b", rows=gradients((10.0,), sizes={"bias": 1.0, "weight": 1.0}), seed=2)
    frame = layers.joined(load_runs(tmp_path / "s").layers)
    assert list(frame) == ["run", "epoch", "layer", "depth", "value"]
    found = frame.set_index(["run", "epoch", "layer"])["value"]
    assert found["a", 1, "linear1"] == (30 * 1 + 10 * 3) / 40
    assert found["a", 1, "linear2"] == (30 * 5 + 10 * 15) / 40
    assert found["a", 2, "linear1"] == (30 * 2 + 10 * 6) / 40
    assert np.isnan(found["a", 2, "linear2"]) and np.isnan(found["a", 1, "strange"])  # of no known size
    assert found["a", 1, "alone"] == 4
    assert found["b", 1, "linear1"] == (10 + 30) / 2
    assert len(found) == 7


@pytest.fixture
def study(tmp_path: Path) -> Comparison:
    """adam: three seeds. sgd at lr 0.1: two seeds completed, one of them for longer, one diverged in epoch 2; at 1: one
    diverged at once, one was interrupted."""
    where = tmp_path / "s"
    for seed, first in enumerate((1.0, 2.0, 6.0), 1):
        write(where / f"adam{seed}", rows=gradients((first, 1.0), (4.0, 0.0)), seed=seed)
    given = {"optim.lr": 0.1}
    write(where / "sgd1", rows=gradients((1.0, 2.0), (3.0, 4.0), (5.0, 5.0)), optim="sgd", given=given)
    write(where / "sgd2", rows=gradients((3.0, 4.0), (5.0, 6.0)), optim="sgd", given=given, seed=2)
    lost = gradients((50.0, 60.0), (np.nan, np.inf), (7.0, 7.0))
    write(where / "sgd3", rows=lost, optim="sgd", given=given, seed=3, status="diverged")
    given = {"optim.lr": 1.0}
    write(where / "sgd4", rows=gradients((np.nan, np.nan)), optim="sgd", given=given, status="diverged")
    write(where / "sgd5", rows=gradients((2.0, 2.0)), optim="sgd", given=given, seed=2, status="interrupted")
    return read(where)


def test_a_line_is_the_mean_over_the_completed_seeds_of_a_setting(study: Comparison) -> None:
    figure = made(layers.gradient_flow(study, "optim"))
    first, second = figure.axes
    assert [axes.get_title() for axes in (first, second)] == ["linear1", "linear2"]
    assert first.get_yscale() == second.get_yscale() == "log" and first.get_ylim() == second.get_ylim()
    adam, sgd = curves(first)
    assert adam == pytest.approx(np.array([[1, JOINED * 3], [2, JOINED * 4]]))
    assert sgd == pytest.approx(np.array([[1, JOINED * 2], [2, JOINED * 4]]))  # epoch 3: only one has come so far
    (collection,) = [c for c in first.collections if c.get_gid() == "mean"]
    assert len({to_hex(colour) for colour in collection.get_colors()}) == 2  # type: ignore[attr-defined]
    assert "8 runs" in figure.get_suptitle()


def test_zeros_on_a_log_axis_lie_on_a_line_of_their_own_below_all_else(study: Comparison) -> None:
    figure = made(layers.gradient_flow(study, "optim"))
    adam, _ = curves(figure.axes[1])
    floor = adam[1, 1]
    assert 0 < floor < 0.5 * JOINED and floor > figure.axes[1].get_ylim()[0]
    assert [line.get_ydata()[0] for line in figure.axes[1].lines if line.get_linestyle() == ":"] == [floor]
    assert figure.axes[0].get_yticklabels()[0].get_text() == "0"


def test_what_broke_is_drawn_up_to_there_and_counted(study: Comparison) -> None:
    figure = made(layers.gradient_flow(study, "optim"))
    for axes, value in zip(figure.axes, (50.0, 60.0), strict=True):
        diverged = marks(axes)
        assert sorted(diverged[:, 0]) == [1, 1]
        assert sorted(diverged[:, 1]) == pytest.approx([JOINED * value, axes.get_ylim()[1]])
        assert marks(axes, "missing") == pytest.approx(np.array([[1, JOINED * 2]]))
        assert not any((line[:, 0] > 1).any() for line in curves(axes, "broken"))
    note = figure.get_supxlabel()
    note = " ".join(note.split())
    assert "2 of 8 runs diverged (x)" in note and "1 interrupted (o)" in note and "2 to 3 seeds" in note


def test_bands_are_students_intervals_on_a_log_axis_of_the_logarithm(tmp_path: Path) -> None:
    values = np.array([1.0, 2.0, 6.0])
    for seed, value in enumerate(values, 1):
        rows = gradients((value,), (value,)) + shares("grad_zero_fraction", "weight", (value / 10,), (value / 10,))
        write(tmp_path / "s" / f"a{seed}", rows=rows, seed=seed)
        write(tmp_path / "s" / f"b{seed}", rows=gradients((100.0,), (100.0,)), seed=seed, optim="sgd")
    half = t.ppf(0.975, 2) * values.std(ddof=1) / np.sqrt(3)

    def band(figure: Figure) -> np.ndarray:
        polygons = [c for c in figure.axes[0].collections if c.get_gid() == "band"]
        return np.unique(polygons[0].get_paths()[0].vertices[:, 1])

    found = band(made(layers.gradient_flow(read(tmp_path / "s"), "optim")))
    assert found == pytest.approx(JOINED * 3 * np.exp([-half / 3, half / 3]))
    share = band(made(layers.zero_gradients(read(tmp_path / "s"), "optim")))
    assert share == pytest.approx([0, 0.3 + half / 10])  # its lower end would be below 0


def test_of_deep_networks_the_first_middle_and_last_layer_of_each_are_shown(tmp_path: Path) -> None:
    for depth in (2, 9):
        values = [10.0**-d for d in range(depth)]
        write(tmp_path / "s" / f"d{depth}", rows=gradients(values, values), given={"model.depth": depth})
    figure = made(layers.gradient_flow(read(tmp_path / "s"), "model.depth"))
    assert [axes.get_title() for axes in figure.axes] == ["first layer", "middle layer", "last layer"]
    ends = [[line[-1, 1] for line in curves(axes)] for axes in figure.axes]
    assert ends[0] == pytest.approx([JOINED, JOINED])
    assert ends[1] == pytest.approx([JOINED * 1e-4])
    assert ends[2] == pytest.approx([JOINED * 1e-1, JOINED * 1e-8])


def test_bars_are_means_of_the_last_epoch_and_what_diverged_has_a_slot(study: Comparison) -> None:
    figure = made(layers.gradient_bars(study, "optim"))
    (axes,) = figure.axes
    bars = [bar for bar in axes.patches if bar.get_gid() != "slot"]
    low = next(bar.get_y() for bar in bars)
    tops = {(round(bar.get_center()[0]), to_hex(bar.get_facecolor())): bar.get_y() + bar.get_height()
            for bar in bars if np.isfinite(bar.get_height()) and bar.get_y() == low}  # fmt: skip
    colours = {colour for _, colour in tops}
    assert len(tops) == 4 and len(colours) == 2 and axes.get_yscale() == "log"
    adam = next(colour for colour in colours if tops[0, colour] == pytest.approx(JOINED * 4))
    (sgd,) = colours - {adam}
    assert tops[0, sgd] == pytest.approx(JOINED * (5 + 5) / 2)  # each run's own last epoch
    assert tops[1, sgd] == pytest.approx(JOINED * (5 + 6) / 2)
    (zero,) = marks(axes, "zero")
    assert tops[1, adam] == pytest.approx(zero[1]) and zero[1] < 0.5 * JOINED * 4
    diverged = marks(axes)
    assert len(diverged) == 2 * 2  # runs by layers
    assert diverged[:, 1].min() > max(tops.values()) and "diverged" in [
        tick.get_text() for tick in axes.get_yticklabels()
    ]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["linear1", "linear2"]


def test_of_many_layers_bars_become_a_line_over_depth(tmp_path: Path) -> None:
    values = [0.0, 0.0, *(10.0**d for d in range(-12, 1))]
    for seed in (1, 2):
        write(tmp_path / "s" / f"a{seed}", rows=gradients(values), seed=seed)
        write(tmp_path / "s" / f"b{seed}", rows=gradients([1.0] * 15), seed=seed, optim="sgd")
    (axes,) = made(layers.gradient_bars(read(tmp_path / "s"), "optim")).axes
    vanishing, level = curves(axes)
    assert vanishing[2:, 1] == pytest.approx(JOINED * np.array(values[2:]))
    assert level == pytest.approx(np.stack([np.arange(15), np.full(15, JOINED)], axis=1))
    assert marks(axes, "zero")[:, 0].tolist() == [0, 1]
    assert (marks(axes, "zero")[:, 1] == vanishing[:2, 1]).all() and (vanishing[:2, 1] < 1e-12).all()


def test_dead_and_saturated_units_have_rows_and_scales_of_their_own(tmp_path: Path) -> None:
    rows = shares("dead_fraction", "activation", (0.0, 0.25), (0.0, 0.5))
    write(tmp_path / "s" / "a", rows=rows)
    more = rows + shares("saturated_fraction", "activation", (0.01, 0.02), (0.03, 0.04))
    write(tmp_path / "s" / "b", rows=more, optim="sgd")
    figure = drawn(layers.dead_units(read(tmp_path / "s"), "optim"))
    dead1, dead2, saturated1, saturated2 = figure.axes
    assert saturated1.get_title() == "linear1: saturated outputs"
    assert [line[:, 1].tolist() for line in curves(dead2)] == [[0.25, 0.5], [0.25, 0.5]]
    assert [line[:, 1].tolist() for line in curves(saturated2)] == [[0.02, 0.04]]
    assert dead1.get_ylim() == dead2.get_ylim() != saturated1.get_ylim()
    assert dead1.get_position().y0 > saturated1.get_position().y1
    figure = made(layers.dead_units(read(tmp_path / "s" / "a"), "optim"))
    assert len(figure.axes) == 2 and "aturated" not in figure.get_suptitle()


def test_update_ratios_have_their_guide_in_sight(tmp_path: Path) -> None:
    for optim, value in (("adam", 0.5), ("sgd", 1e-15)):
        rows = shares("update_ratio", "weight", (value,), (value,)) + shares("update_ratio", "bias", (9.0,))
        write(tmp_path / "s" / optim, rows=rows, optim=optim)
    (axes,) = made(layers.update_ratios(read(tmp_path / "s"), "optim")).axes
    assert 1e-3 in [line.get_ydata()[0] for line in axes.lines] and axes.get_yscale() == "log"
    adam, sgd = curves(axes)
    assert adam[:, 1] == pytest.approx([0.5, 0.5])
    assert 1e-12 < sgd[0, 1] < 1e-9 and axes.get_yticklabels()[0].get_text() == "< 1e-09"  # as good as none


def test_gradient_and_result_against_depth(tmp_path: Path) -> None:
    losses = {(1, 1): 10.0, (1, 2): 20.0, (4, 1): 5.0, (4, 2): 7.0}
    for (depth, seed), loss in losses.items():
        rows = gradients([99.0] * (depth + 1), [10.0 ** (seed - depth), *[1.0] * depth])
        write(tmp_path / "s" / f"d{depth}-{seed}", rows=rows, seed=seed, given={"model.depth": depth}, loss=loss)
    rows = gradients([np.nan] * 10)
    write(tmp_path / "s" / "lost", rows=rows, given={"model.depth": 9}, status="diverged")
    gradient, result = made(depth_against_gradient(read(tmp_path / "s"))).axes
    assert gradient.get_yscale() == "log" and gradient.get_xscale() == result.get_xscale() == "log"
    dots, line, _ = gradient.lines
    assert sorted(map(tuple, dots.get_xydata()[np.isfinite(dots.get_ydata())])) == [
        pytest.approx(point) for point in ((2, JOINED), (2, 10 * JOINED), (5, 1e-3 * JOINED), (5, 1e-2 * JOINED))
    ]
    assert line.get_xydata()[:2] == pytest.approx(np.array([[2, 5.5 * JOINED], [5, 5.5e-3 * JOINED]]))
    assert result.lines[1].get_xydata()[:2].tolist() == [[2, 15], [5, 6]]
    for axes in (gradient, result):
        ((x, y),) = marks(axes)
        assert x == 10 and y > np.nanmax(axes.lines[0].get_ydata())  # large losses are bad
        assert [f"{tick:g}" for tick in axes.get_xticks()] == ["2", "5", "10"]


def test_no_line_joins_networks_that_differ_in_more_than_their_depth(tmp_path: Path) -> None:
    for i, hidden in enumerate(([8], [8, 8], [4, 4])):
        rows = gradients([1.0 + i] * (len(hidden) + 1))
        write(tmp_path / "s" / str(i), rows=rows, given={"model.hidden": hidden}, loss=1.0 + i)
    gradient, _ = made(depth_against_gradient(read(tmp_path / "s"))).axes
    assert [len(line.get_xdata()) for line in gradient.lines if line.get_linestyle() != "None"] == []
