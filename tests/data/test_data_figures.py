"""python -m paribus.data: what is drawn and said of data before training."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import CIFAR_TRAIN, ROOT, striped
from matplotlib.figure import Figure
from rich.console import Console

from paribus.cli import data as command
from paribus.cli import description
from paribus.data import concrete
from paribus.data import plots as figures
from paribus.errors import UserError

TINY = """cement,age,strength
1,7,10
1,28,20
2,7,30
2,7,30
3,7,60
"""


def node(path: str | None, target: str) -> dict:
    """The configuration of conf/data/concrete.yaml for a table."""
    values = yaml.safe_load((ROOT / "conf" / "data" / "concrete.yaml").read_text())
    return {**values, "path": path, "target": target, "seed": 0}


def drawn(figure: Figure) -> Figure:
    figure.savefig("figure.png")  # nothing in it may fail only when it is drawn
    return figure


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    (tmp_path / "tiny.csv").write_text(TINY)
    return str(tmp_path / "tiny.csv")


def test_every_row_is_in_each_histogram_once() -> None:
    table = pd.read_csv(concrete.CONCRETE)
    panels = drawn(figures.plot_histograms(table)).axes
    assert [axes.get_xlabel() for axes in panels] == list(table)
    for axes, column in zip(panels, table, strict=True):
        (bars,) = axes.patches
        assert bars.get_data().values.sum() == 1030
        assert (bars.get_data().edges[0], bars.get_data().edges[-1]) == (table[column].min(), table[column].max())
    age = panels[list(table).index("age")].patches[0].get_data()
    assert age.values[0] == (table.age < 1 + 364 / 30).sum()

    *panels, _ = drawn(figures.plot_against_target(table, "strength")).axes  # the last is the scale of colours
    assert [axes.get_xlabel() for axes in panels] == list(table.columns[:-1])
    for axes in panels:
        assert axes.collections[0].get_array().sum() == 1030


def test_boxes_are_quartiles() -> None:
    values = [0.0, 1, 2, 3, 4, 100]
    (axes,) = drawn(figures.plot_boxes(pd.DataFrame({"x": values}))).axes
    box = axes.patches[0].get_path().vertices[:, 1]
    assert (box.min(), box.max()) == (1.25, 3.75)
    assert [100.0] in [list(line.get_ydata()) for line in axes.lines]


@pytest.mark.parametrize("values", [[5.0] * 4, [0.0] * 4, [1e20] * 4, [1e16, 1e16, 1e16 + 2, 1e16 + 2]])
def test_columns_without_spread_and_names_like_formulas_are_drawn(values: list[float]) -> None:
    table = pd.DataFrame({"in $ or $_{": values, "y": [1.0, 2, 3, 4]})
    assert drawn(figures.plot_histograms(table)).axes[0].patches[0].get_data().values.sum() == 4
    assert drawn(figures.plot_against_target(table, "y")).axes[0].collections[0].get_array().sum() == 4
    drawn(figures.plot_boxes(table))


def test_class_counts_are_the_bars() -> None:
    counts = {"train": np.array([3, 1200]), "test": np.array([0, 7])}
    (axes,) = drawn(figures.plot_class_counts(counts, ["cat", "dog"])).axes
    assert [bar.get_width() for bar in axes.patches] == [3, 1200, 0, 7]
    assert [text.get_text() for text in axes.texts] == ["3", "1,200", "0", "7"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["cat", "dog"]


@pytest.mark.parametrize("channels", [1, 3])
def test_samples_are_the_first_of_each_class(channels: int) -> None:
    images = np.arange(4 * channels, dtype=np.uint8).reshape(4, channels, 1, 1) + np.zeros((1, 1, 2, 2), np.uint8)
    (axes,) = drawn(figures.plot_samples(images, np.array([1, 0, 1, 1]), ["a", "b"], columns=2)).axes
    sheet = axes.images[0].get_array()
    assert sheet.shape == (8, 8, 3)
    for row, column, image in ((0, 0, 1), (4, 0, 0), (4, 4, 2)):
        assert np.array_equal(sheet[row, column, :channels], images[image, :, 0, 0])
    assert (sheet[0:2, 4:6] == 255).all(), "class a has one image only"


def test_a_table_is_described(tiny: str, capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["concrete", "--path", tiny, "--pdf"])
    said = capsys.readouterr().out
    assert "5 rows; 1 duplicate" in said
    assert "3 mixes" in said
    rows = [line.split() for line in said.splitlines()]
    # mean, sd, min, median, max by hand; the correlation of cement with strength is 60 / sqrt(2.8 * 1400)
    assert ["cement", "5", "1.8", "0.8367", "1", "2", "3", "+0.96"] in rows
    assert ["strength", "5", "30", "18.71", "10", "30", "60", "+1.00"] in rows
    made = {path.name for path in Path("outputs/data/tiny").iterdir()}
    assert made == {f"{name}.{kind}" for name in ("histograms", "box_plots", "with_target") for kind in ("png", "pdf")}


def test_the_concrete_rows_have_units() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    drawn = description.describe(console, node(None, "strength"))
    said = console.export_text()
    assert "427 mixes" in said
    labels = [axes.get_xlabel() for axes in drawn["histograms"].axes]
    for column in ("blast furnace slag (kg/m³)", "age (days)", "strength (MPa)"):
        assert column in said and column in labels


def test_wide_tables_show_what_correlates_most(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 40)), columns=[f"c{i}" for i in range(40)])
    table.insert(0, "y", -table["c33"])
    table.to_csv("wide.csv", index=False)
    monkeypatch.setattr(description, "MAX_COLUMNS", 2)
    console = Console(record=True, file=io.StringIO())
    drawn = description.describe(console, node("wide.csv", "y"))
    assert "y and the 1 features most correlated" in console.export_text()
    assert [axes.get_xlabel() for axes in drawn["histograms"].axes] == ["c33", "y"]


def test_images_are_counted_and_measured(
    fashion_root: Path, cifar_root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARIBUS_DATA", str(fashion_root))
    command.main(["fashion_mnist"])
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    pixels = striped(600, (28, 28), 1)[0] / 255
    assert ["grey", "mean", f"{pixels.mean():.4f}", "sd", f"{pixels.std():.4f}"] in said
    assert ["Ankle", "boot", "60", "10"] in said
    assert ["all", "600", "100"] in said
    assert {path.name for path in Path("outputs/data/fashion_mnist").iterdir()} == {"class_counts.png", "samples.png"}

    command.main(["cifar10", "--root", str(cifar_root), "--no-verify", "--out", "here"])
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    blue = np.concatenate([striped(20, (3, 32, 32), seed)[0][:, 2] for seed in range(len(CIFAR_TRAIN))]) / 255
    assert ["blue", "mean", f"{blue.mean():.4f}", "sd", f"{blue.std():.4f}"] in said
    assert ["frog", "10", "2"] in said
    assert Path("here/samples.png").exists()


def test_mistakes_are_named_with_this_commands_remedies(tiny: str, cifar_root: Path) -> None:
    Path("taken").write_text("")
    for typed, message in {
        "concret": "Did you mean 'concrete'? Valid: cifar10, cifar100, concrete",
        f"cifar10 --path {tiny}": "--path is not for cifar10",
        "fashion_mnist --no-verify": "--no-verify is not for fashion_mnist",
        "concrete --path none.csv": "Name another file with --path FILE",
        "concrete --path .": "Name a file with --path FILE",
        f"concrete --path {tiny} --target strenght": "(--target). Did you mean 'strength'",
        f"cifar10 --root {cifar_root}": "with --no-verify",
        f"concrete --path {tiny} --out taken": "taken: File exists. Write elsewhere with --out DIR",
        f"concrete --path {tiny} --out taken/below": "Write elsewhere with --out DIR",
    }.items():
        with pytest.raises(UserError) as raised:
            command.inspect_data(typed.split())
        assert message in str(raised.value)
        assert "data." not in str(raised.value)


@pytest.mark.slow
def test_the_command_line_answers_before_anything_slow_is_imported() -> None:
    slow = "import sys, runpy; sys.modules.update(dict.fromkeys(('torch', 'matplotlib', 'pandas', 'lightning')))\n"
    script = slow + "sys.argv[1:] = [{!r}]; runpy.run_module('paribus.data', run_name='__main__')"
    help_ = subprocess.run([sys.executable, "-c", script.format("--help")], capture_output=True, text=True, check=False)
    assert help_.returncode == 0 and "--no-verify" in help_.stdout
    wrong = subprocess.run([sys.executable, "-c", script.format("minst")], capture_output=True, text=True, check=False)
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("error: There is no 'minst' in the data sets.") and "Traceback" not in wrong.stderr
