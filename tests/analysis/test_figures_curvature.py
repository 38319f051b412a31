"""The stability margin by epoch, and the overview of a run, against the values that they are drawn from."""

from pathlib import Path

import numpy as np
import pytest
from made_runs import NAN, comparison, drawn
from records import write_layers, write_run

from multirun_analysis import load_runs
from multirun_analysis.compare.comparison import compare
from multirun_analysis.figures.curvature import stability_margin
from multirun_analysis.figures.gallery import gallery
from multirun_analysis.figures.overview import overview
from multirun_analysis.records.run_statistics import compute_statistics
from multirun_analysis.report.page import compose_parts, write_page
from multirun_analysis.report.verdict import verdict

SHARP = {"curvature/stability_margin": [0.1, NAN, 0.5, NAN], "curvature/largest_eigenvalue": [100.0, NAN, 200.0, NAN]}
BASE = {"val/loss": [4.0, 3.0, 2.0, 1.0], "train/loss": [4.0, 3.0, 2.0, 1.0], "lr": [0.01] * 4}


def test_margins_are_drawn_where_they_were_measured_and_the_eigenvalue_for_plain_descent_alone() -> None:
    runs = [{"optim": optim, "seed": seed, **BASE, **SHARP} for optim in ("sgd", "adam") for seed in (1, 2)]
    margins, eigenvalues = drawn(stability_margin(comparison(runs))).axes
    lines = [line.get_xydata().tolist() for line in margins.lines if len(line.get_xdata()) == 2]
    assert lines[:4] == [[[1, 0.1], [3, 0.5]]] * 4
    plain = [line.get_xydata().tolist() for line in eigenvalues.lines if line.get_linestyle() and line.get_color()]
    assert [found for found in plain if found[0][0] == 1] == [[[1, 0.5], [3, 1.0]]] * 2, "100 x 0.01 / 2"
    assert stability_margin(comparison([BASE])) is None


def test_a_settled_figure_is_that_of_the_epochs_that_were_measured() -> None:
    frame = comparison([BASE | SHARP]).study.curves.pivot(index="epoch", columns="metric", values="value")
    frame = frame.reset_index().astype(float)
    found = compute_statistics(frame, measured=list(SHARP))
    assert found["final_curvature_largest_eigenvalue"] == 200
    assert np.isnan(compute_statistics(frame)["final_curvature_largest_eigenvalue"])


@pytest.mark.parametrize("optim", ["sgd", "adam"])
def test_the_overview_has_a_column_for_each_group_that_was_measured(optim: str) -> None:
    figure = drawn(overview(comparison([BASE | SHARP | {"optim": optim, "val/mae": [2.0, 2.0, 1.0, 1.0]}])))
    titles = [axes.get_title() or axes.texts[0].get_text() for axes in figure.axes]
    headings = [axes.get_title(loc="left").strip() for axes in figure.axes if axes.get_title(loc="left")]
    assert headings == ["steps and updates", "curvature", "performance"], "no layers.parquet, no gradients"
    rate = " (dashed: 2 / rate)" if optim == "sgd" else ""
    assert titles == ["learning rate", f"largest eigenvalue{rate}", "stability margin (dashed: the edge)", "loss",
                      "mean absolute error"]  # fmt: skip
    eigenvalue = figure.axes[1]
    assert eigenvalue.lines[0].get_xydata().tolist() == [[10, 100], [30, 200]], "by step"
    assert [axes.get_xscale() for axes in figure.axes] == ["log"] * 5
    assert overview(comparison([BASE, BASE | {"seed": 2}])) is None


def test_the_overview_of_a_record_shows_its_layers(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    write_run(directory)
    write_layers(directory, 3)
    found = compare(load_runs(directory), "regression")
    figure = drawn(gallery(found, [])["overview"]())
    headings = [axes.get_title(loc="left").strip() for axes in figure.axes if axes.get_title(loc="left")]
    assert "gradients" in headings and "performance" in headings
    write_page(compose_parts(found, verdict(found), [], tmp_path), tmp_path / "report.html", [])
    assert "src='data:image/png;base64," in (tmp_path / "report.html").read_text(encoding="utf-8")
