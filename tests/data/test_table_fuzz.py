"""Whatever a file holds, it is read, or refused with one message: no traceback."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.cli.description import describe_table
from paribus.data import plots
from paribus.data.table import Table
from paribus.errors import UserError
from paribus.terminal import make_console

CELLS = st.sampled_from(
    ["1", "2.5", "3,5", "-7", "1.040", "1,040", "1e3", "", " ", "?", "NA", "inf", "x", "a b", '"', '"q;q"', "0x1", "1_0", "true",
     "\u00a05", "é", "[/b]", "=1+1", "$x$", "1 000", "9" * 400, "\x85", "\ufeff", "'"]
)  # fmt: skip
LINES = st.lists(st.lists(CELLS, min_size=1, max_size=4), min_size=0, max_size=9)


def try_reading(content: bytes, **choices: object) -> Table | None:
    path = Path("fuzz.csv")
    path.write_bytes(content)
    try:
        table = Table(str(path), "y", 4, 0.2, 0.2, None, False, 1, **choices)  # type: ignore[arg-type]
        table.setup("fit")
        table.setup("test")
    except UserError as error:
        message = str(error)
    else:
        assert table.train and np.isfinite(table.train[0].numpy()).all()
        return table
    lines = message.split("\n")
    assert all(line.strip() for line in lines) and (len(lines) == 1 or "cannot be used as it is" in lines[0])
    return None


@settings(max_examples=150)
@given(LINES, st.sampled_from(",;\t| "), st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
       st.sampled_from([{}, {"categorical": "one_hot"}, {"task": "classification", "categorical": "one_hot"}, {"task": "regression"},
                        {"missing": "drop", "categorical": "one_hot"}, {"missing": "fill", "categorical": "one_hot"}, {"drop": ["x"], "missing": "fill"}]))  # fmt: skip
def test_lines_of_odd_cells(
    lines: list[list[str]], delimiter: str, end: str, encoding: str, choices: dict[str, str]
) -> None:
    header = ["x", "y", "a (m²)", ""]
    text = end.join(delimiter.join(line) for line in [header, *lines])
    try_reading(text.encode(encoding, errors="replace"), **choices)


@settings(max_examples=150)
@given(st.binary(max_size=200))
def test_bytes(content: bytes) -> None:
    try_reading(content)
    try_reading(b"x,y\n" + content)


@settings(max_examples=10)
@given(st.lists(st.floats(-3e38, 3e38), min_size=12, max_size=30, unique=True))
def test_numbers_of_any_size_are_read_and_drawn(values: list[float]) -> None:
    table = try_reading(("x,y\n" + "".join(f"{v!r},{-v!r}\n" for v in values)).encode(), task="regression")
    if table is not None:
        for figure in describe_table(make_console(), table).values():
            figure.savefig("figure.png")


@pytest.mark.parametrize("names", [["a", "b"], ["$", "$x_{$"]])
def test_boxes_of_each_class_are_its_quartiles(names: list[str]) -> None:
    values, classes = np.array([0.0, 1, 2, 3, 4, 10, 20, 30, 40, 50]), np.repeat([0, 1], 5)
    figure = plots.plot_by_class(pd.DataFrame({"x": values}), classes, names)
    figure.savefig("figure.png")
    (axes,) = figure.axes
    boxes = [patch.get_path().vertices[:, 0] for patch in axes.patches]
    assert [(box.min(), box.max()) for box in boxes] == [(1, 3), (20, 40)]
    assert [label.get_text() for label in axes.get_yticklabels()] == names
    counts = {"all rows": np.array([5, 5])}
    plots.plot_class_counts(counts, names, "rows").savefig("figure.png")
    assert not re.search("images", plots.plot_class_counts(counts, names, "rows").axes[0].get_xlabel())
