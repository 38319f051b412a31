"""Figures of layers where values, names and studies are strange."""

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from layer_studies import JOINED, Row, curves, drawn, gradients, made, read, shares, write
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.figures import layers
from multirun_analysis.figures.depth import depth_against_gradient
from multirun_analysis.figures.style import GREY, pick, plain


def test_without_data_there_is_no_statistic(tmp_path: Path) -> None:
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
