"""Figures of layers, from records made by hand, against figures worked out by hand."""

import dataclasses
import io
import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from scipy.stats import t

from multirun_analysis import load_runs
from multirun_analysis.compare.comparison import Comparison, compare
from multirun_analysis.figures import layers
from multirun_analysis.figures.depth import depth_against_gradient
from multirun_analysis.figures.style import GREY, pick, plain

Row = tuple[int, str, int, str, str, float]  # epoch, layer, depth, tensor, quantity, value
SIZES = {"weight": 30.0, "bias": 10.0}


def write(
    directory: Path,
    *,
    rows: Iterable[Row],
    optim: str = "adam",
    given: dict[str, Any] | None = None,
    seed: int = 1,
    status: str = "completed",
    loss: float = 1.0,
) -> None:
    directory.mkdir(parents=True)
    (directory / "metrics.csv").write_text(f"epoch,step,train/loss,val/loss\n1,1,{loss},{loss}\n")
    summary = {
        "status": status, "identity": f"{directory.name}", "seed": seed, "set": given or {},
        "choices": {"model": "regression", "data": "d", "activation": "relu", "optim": optim, "scheduler": "none"},
        "config": {"seed": seed, "optim": {"name": optim}}, "statistics": {"epochs": 1, "best_val_loss": loss},
    }  # fmt: skip
    for key, value in (given or {}).items():
        group, name = key.split(".")
        summary["config"].setdefault(group, {})[name] = value
        if key == "model.depth":
            summary["config"]["model"]["hidden"] = [32] * value
    (directory / "summary.json").write_text(json.dumps(summary))
    frame = pd.DataFrame(list(rows), columns=["epoch", "layer", "depth", "tensor", "quantity", "value"])
    if len(frame):
        frame.to_parquet(directory / "layers.parquet", index=False)


def gradients(*epochs: Iterable[float], sizes: dict[str, float] = SIZES) -> list[Row]:
    """Of each epoch the mean |g| of each layer: of its weight; the bias has three times as much."""
    depths = range(max((len(list(layers)) for layers in epochs), default=0))
    rows: list[Row] = [(0, f"linear{d + 1}", d, tensor, "size", size) for d in depths for tensor, size in sizes.items()]
    for epoch, layer in enumerate(epochs, start=1):
        for (d, value), tensor in itertools.product(enumerate(layer), sizes):
            bias = 3 if tensor == "bias" else 1
            rows.append((epoch, f"linear{d + 1}", d, tensor, "grad_mean_abs", bias * value))
    return rows


JOINED = (30 * 1 + 10 * 3) / 40  # of a layer whose weight has 1


def shares(quantity: str, tensor: str, *epochs: Iterable[float]) -> list[Row]:
    return [(e, f"linear{d + 1}", d, tensor, quantity, v) for e, vs in enumerate(epochs, 1) for d, v in enumerate(vs)]


def read(path: Path) -> Comparison:
    return compare(load_runs(path))


def made(figure: Figure | None) -> Figure:
    assert figure is not None
    return figure


def drawn(figure: Figure | None) -> Figure:
    made(figure).savefig(io.BytesIO())  # nothing in it may fail only when it is drawn
    return made(figure)


def curves(axes: Axes, kind: str = "mean") -> list[np.ndarray]:
    """(points, 2) of each line."""
    (found,) = [c for c in axes.collections if c.get_gid() == kind]
    return [np.asarray(segment).reshape(-1, 2) for segment in found.get_segments()]  # type: ignore[attr-defined]


def marks(axes: Axes, mark: str = "diverged") -> np.ndarray:
    """(marks, 2)."""
    found = [np.asarray(c.get_offsets()) for c in axes.collections if c.get_gid() == mark]
    return np.concatenate(found) if found else np.empty((0, 2))


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


def test_without_data_there_is_no_figure(tmp_path: Path) -> None:
    for optim in ("adam", "sgd"):
        write(tmp_path / "s" / optim, rows=[], optim=optim)
    comparison = read(tmp_path / "s")
    for figure in FIGURES:
        assert figure(comparison, "optim") is None
    assert depth_against_gradient(comparison) is None


FIGURES: list[Callable[[Comparison, str], Figure | None]] = [
    layers.gradient_flow, layers.gradient_bars, layers.zero_gradients, layers.dead_units, layers.update_ratios,
]  # fmt: skip


def everything(values: list[float]) -> list[Row]:
    kinds = (("grad_zero_fraction", "weight"), ("dead_fraction", "activation"), ("update_ratio", "weight"))
    return gradients(values, values) + [row for kind in kinds for row in shares(*kind, values, values)]


STRANGE = ([0.0, 0.0], [np.nan, np.inf], [1e-40, 1e30], [0.5] * 14)


@pytest.mark.slow
def test_strange_values_and_names_are_drawn(tmp_path: Path) -> None:
    names = ["_under_$score$", "a$", "x" * 90, "-"]
    for (i, name), status in itertools.product(enumerate(names), ("completed", "diverged", "failed")):
        where = tmp_path / "s" / f"{status}{i}"
        write(where, rows=everything(STRANGE[i]), optim=name, status=status, given={"optim.lr": 10.0**i})
    comparison = read(tmp_path / "s")
    for figure in FIGURES:
        assert len(drawn(figure(comparison, "optim")).legends[0].get_texts()) == 2 * (1 + len(names))


@pytest.mark.parametrize("values", STRANGE[:3])
@pytest.mark.parametrize("status", ["completed", "diverged"])
def test_a_study_of_nothing_but_strange_values_is_no_error(tmp_path: Path, values: list[float], status: str) -> None:
    for optim in ("adam", "sgd"):
        write(tmp_path / "s" / optim, rows=everything(values), optim=optim, status=status)
    comparison = read(tmp_path / "s")
    for figure in FIGURES:
        low, high = made(figure(comparison, "optim")).axes[0].get_ylim()
        assert np.isfinite([low, high]).all() and low < high


def test_of_many_levels_some_are_in_the_legend(tmp_path: Path) -> None:
    for i in range(30):
        write(tmp_path / "s" / str(i), rows=everything([0.1, 0.2]), given={"optim.lr": 0.001 * (i + 1)})
    comparison = read(tmp_path / "s")
    for figure in FIGURES:
        texts = [text.get_text() for text in made(figure(comparison, "optim.lr")).legends[0].get_texts()]
        assert texts[0] == "optim.lr:" and texts[-1] == "… and 18 more" and len(texts) == 14


def test_a_single_run_is_drawn(tmp_path: Path) -> None:
    write(tmp_path / "s" / "a", rows=everything([0.1, 0.2]))
    for figure in FIGURES:
        assert "one run" in made(figure(read(tmp_path / "s"), "optim")).get_supxlabel()


def test_names_are_what_they_are_and_long_ones_keep_both_ends() -> None:
    assert plain("a$b_c$") == r"a\$b_c\$"
    assert not plain("_hidden").startswith("_")
    assert (
        plain("start" + "x" * 99 + "end", 20).startswith("start")
        and plain("start" + "x" * 99 + "end", 20)[-3:] == "end"
    )
    assert len(plain("x" * 99, 20)) == 20
    assert pick(range(100), 4) == [0, 33, 66, 99]


def test_runs_that_are_recorded_twice_count_once_and_unknown_ones_are_grey_lines_of_their_own(tmp_path: Path) -> None:
    for seed, value in enumerate((1.0, 5.0), 1):
        write(tmp_path / "s" / f"a{seed}", rows=gradients((value,), (value,)), seed=seed)
    write(tmp_path / "s" / "b", rows=gradients((3.0,), (3.0,)), optim="sgd")
    write(tmp_path / "s" / "lost", rows=gradients((9.0,), (9.0,)))
    (tmp_path / "s" / "lost" / "summary.json").unlink()
    (tmp_path / "s" / "b" / "layers.parquet").write_bytes(b"PAR1 cut short")
    comparison = dataclasses.replace(read(tmp_path / "s"), duplicates={"a2": "a1"})
    figure = made(layers.gradient_flow(comparison, "optim"))
    (line,) = curves(figure.axes[0])
    assert line[:, 1] == pytest.approx([JOINED, JOINED])
    (unknown,) = curves(figure.axes[0], "broken")
    assert unknown[:, 1] == pytest.approx([JOINED * 9, JOINED * 9])
    (marks_of_unknown,) = [c for c in figure.axes[0].collections if c.get_gid() == "missing"]
    assert [to_hex(colour) for colour in marks_of_unknown.get_edgecolors()] == [GREY]  # type: ignore[attr-defined]
    note = figure.get_supxlabel()
    assert "1 unfinished (o)" in note and "1 completed without these measurements" in note
    assert "1 run recorded twice counts once" in " ".join(note.split())
    alone = read(tmp_path / "s" / "lost")
    (line,) = curves(made(layers.gradient_flow(alone, "optim")).axes[0], "broken")
    assert line[:, 1] == pytest.approx([JOINED * 9, JOINED * 9])
    assert layers.gradient_bars(alone, "optim") is None  # of which bars are means over seeds
    assert depth_against_gradient(alone) is None
