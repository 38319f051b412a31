"""The gallery finds what the modules of the package declare."""

import io
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from made_runs import comparison
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from records import write_layers, write_run

from multirun_analysis import figures, load_runs
from multirun_analysis.compare.comparison import compare
from multirun_analysis.compare.interactions import interactions
from multirun_analysis.figures.gallery import gallery
from multirun_analysis.figures.registry import declared
from paribus import record

RUNS = [
    {"optim": o, "activation": a, "seed": s, "val/loss": [3.0, 2.0 + s], "train/loss": [3.0, 1.0], "lr": [0.1, 0.1]}
    for o in ("adam", "sgd")
    for a in ("relu", "tanh")
    for s in (1, 2)
]
MINE = """
from matplotlib.figure import Figure
from multirun_analysis.figures.registry import figure

@figure("mine")
def draw(comparison):
    return Figure(figsize=(len(comparison.study.runs), 1))

@figure("kinds")
def each(comparison):
    for factor in comparison.by:
        yield f"of {factor}", lambda: None
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules belong to the package of figures."""
    monkeypatch.setattr(figures, "__path__", [*figures.__path__, str(tmp_path)])
    yield tmp_path  # type: ignore[misc]
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(f"{figures.__name__}.{path.stem}", None)


def test_the_figures_have_the_names_by_which_they_are_known() -> None:
    found = comparison(RUNS)
    crossed = interactions(found)
    names = list(gallery(found, crossed))
    for factor in ("activation", "optim"):
        wanted = {f"curves_by_{factor}_val_loss", f"panels_by_{factor}", f"learning_by_{factor}", f"levels_of_{factor}"}
        assert wanted <= set(names)
    assert {"steps", "schedules", "learning_rate", "parallel", "gradient_flow", "gradient_bars", "zero_gradients",
            "dead_units", "update_ratios", "depth", "activations", "two_factors_activation_optim"} <= set(names)  # fmt: skip
    assert any(name.startswith("ranking_") for name in names) and any(n.startswith("differences_") for n in names)


def test_no_two_figures_are_declared_under_one_name() -> None:
    counts = Counter(declaration.name for declaration, _ in declared())
    assert len(counts) > 10 and set(counts.values()) == {1}


def test_a_module_in_the_package_adds_its_figures(package: Path) -> None:
    (package / "of_mine.py").write_text(MINE)
    drawings = gallery(comparison(RUNS), [])
    figure = drawings["mine"]()
    assert isinstance(figure, Figure) and figure.get_figwidth() == len(RUNS)
    assert {"of_activation", "of_optim"} <= set(drawings) and "kinds" not in drawings


def test_a_module_with_a_mistake_fails_as_its_own_figure_alone(package: Path) -> None:
    (package / "of_mine.py").write_text("import nothing_of_the_kind")
    (package / "of_others.py").write_text(MINE.replace("for factor in comparison.by", "for factor in comparison.none"))
    drawings = gallery(comparison(RUNS), [])
    with pytest.raises(ModuleNotFoundError):
        drawings["of_mine"]()
    with pytest.raises(AttributeError):
        drawings["kinds"]()
    assert isinstance(drawings["mine"](), Figure) and drawings["schedules"]() is not None


def cut(figure: Figure) -> list[str]:
    """The texts of a figure that its edges cut; not those of ticks beyond the limits, which are not drawn."""
    figure.savefig(io.BytesIO())
    hidden = set()
    for axes in figure.findobj(Axes):
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            hidden |= {
                label
                for tick in axis.get_major_ticks()
                if not low <= tick.get_loc() <= high
                for label in (tick.label1, tick.label2)
            }
    found = []
    for text in figure.findobj(Text):
        if text not in hidden and text.get_visible() and text.get_text().strip():
            box = text.get_window_extent()
            if min(box.x0, box.y0) < -1 or box.x1 > figure.bbox.width + 1 or box.y1 > figure.bbox.height + 1:
                found.append(text.get_text())
    return found


@pytest.mark.slow
def test_no_text_is_cut_at_the_edges(tmp_path: Path) -> None:
    optims = ("sgd", "my_parts.optimizers.SignDescentWithWarmRestarts")
    names = [f"features.block{i}.convolution_of_many_channels" for i in range(1, 12)]
    for i, activation in enumerate(("$x$", "_hidden_of_a_very_long_name_of_an_activation", "a" * 120)):
        for optim in optims:
            for seed in (1, 2):
                tried = {
                    "activation": activation,
                    "optim": optim,
                    "optim__lr": 0.01 * (i + 1),
                    "data__batch_size": 16 * (i + 1),
                }
                losses = (3.0 + i, 2.0, 1.0 + 0.1 * seed * i)
                run = write_run(tmp_path / "s" / f"{i}{optim}{seed}", losses, seed=seed, **tried)
                write_layers(run, 3, names)
                weights = {f"{when}/{name}": np.full((4, 3), 0.1) for when in ("before", "after") for name in names[:2]}
                np.savez(run / record.WEIGHTS, **weights)
    found = compare(load_runs(tmp_path / "s"))
    drawn = {name: draw() for name, draw in gallery(found, interactions(found)).items()}
    kept = {name: figure for name, figure in drawn.items() if figure is not None}
    assert len(kept) > 15 and any(name.startswith("weights_aaa") for name in kept)
    assert {name: texts for name, figure in kept.items() if (texts := cut(figure))} == {}
