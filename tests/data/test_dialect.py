"""Tables as people keep them: the same rows, written in many ways, are read as the same numbers."""

import bz2
import gzip
import io
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.data import dialect
from paribus.data.concrete import CONCRETE, Concrete
from paribus.data.sheet import read_sheet
from paribus.errors import UserError

ROWS = pd.read_csv(CONCRETE).head(40)
UNITS = [
    "Cement (component 1)(kg in a m^3 mixture)",
    "Blast Furnace Slag (component 2)(kg in a m^3 mixture)",
    "Fly Ash (component 3)(kg in a m^3 mixture)",
    "Water  (component 4)(kg in a m^3 mixture)",
    "Superplasticizer (component 5)(kg in a m^3 mixture)",
    "Coarse Aggregate  (component 6)(kg in a m^3 mixture)",
    "Fine Aggregate (component 7)(kg in a m^3 mixture)",
    "Age (day)",
    "Concrete compressive strength(MPa, megapascals) ",
]
NAMES = list(ROWS.columns)


def written(titles: Sequence[str], delimiter: str, number: Callable[[float], str], end: str = "\n") -> str:
    """The rows as text; a cell that holds the delimiter is quoted."""

    def cell(text: str) -> str:
        return f'"{text}"' if delimiter in text else text

    lines = [titles, *([number(value) for value in row] for row in ROWS.to_numpy())]
    return end.join(delimiter.join(map(cell, line)) for line in lines) + end


def point(value: float) -> str:
    return f"{value:g}"


def comma(value: float) -> str:
    return f"{value:g}".replace(".", ",")


def english(value: float) -> str:
    return f"{value:,.2f}"


def german(value: float) -> str:
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


PLAIN = written(NAMES, ",", point)
WAYS: dict[str, bytes] = {
    "semicolons and decimal commas": written(NAMES, ";", lambda v: f"{comma(v)} ").encode(),
    "quoted decimal commas": written(UNITS, ",", lambda v: f"{v:.2f} ".replace(".", ",")).encode(),
    "titles with units and semicolons": written(UNITS, ";", point, "\r\n").encode(),
    "a byte-order mark": PLAIN.encode("utf-8-sig"),
    "UTF-16": PLAIN.encode("utf-16"),
    "tabs": written(UNITS, "\t", point).encode(),
    "pipes": written(NAMES, "|", comma).encode(),
    "blanks": written(NAMES, " ", point).encode(),
    "cp1252": written([*NAMES[:7], "Age (jours, année)", "Strength (N/mm²)"], ";", comma).encode("cp1252"),
    "Excel's first line": f"sep=;\r\n{written(NAMES, ';', comma)}".encode(),
    "English thousands": written(NAMES, ",", english).encode(),
    "German thousands": written(NAMES, ";", german).encode(),
    "thousands with blanks": written(NAMES, ";", lambda v: f"{v:,.1f}".replace(",", "\u202f").replace(".", ",")).encode(),
    "an empty column and empty rows": (PLAIN.replace("\n", ",\n") + ",,,,,,,,,\n\n,,,,,,,,,\n").encode(),
    "a surplus delimiter in the rows": ("\n".join([PLAIN.split("\n")[0], *(f"{line}," for line in PLAIN.split("\n")[1:-1])])).encode(),
    "an index": ROWS.to_csv().encode(),
    "an index that was saved twice": ROWS.rename_axis("Unnamed: 0").to_csv().encode(),
    "blank lines above": f"\n\n{PLAIN}".encode(),
    "gzip": gzip.compress(PLAIN.encode()),
    "bzip2": bz2.compress(PLAIN.encode()),
}  # fmt: skip


def concrete(path: Path, **changes: object) -> Concrete:
    arguments = {"target": "strength", "split": "random", "log_age": False, "batch_size": 64, "val_fraction": 0.15,
                 "test_fraction": 0.15, "train_subset": None, "train_on_validation": False, "seed": 1}  # fmt: skip
    return Concrete(str(path), **{**arguments, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("way", WAYS)
def test_the_same_rows_are_read_however_they_are_written(way: str, tmp_path: Path) -> None:
    (tmp_path / "copy.csv").write_bytes(WAYS[way])
    sheet = concrete(tmp_path / "copy.csv").read()
    assert sheet.names == NAMES
    # English and German thousands are written with two decimals, those with blanks with one
    rounded = 0.051 if "blanks" in way and "thousands" in way else 0.0051 if "thousands" in way else 1e-9
    assert np.abs(sheet.numbers.to_numpy() - ROWS.to_numpy()).max() <= rounded


def test_a_run_trains_on_the_same_numbers_however_they_are_written(tmp_path: Path) -> None:
    parts = []
    for name, content in (("plain", PLAIN.encode()), ("other", WAYS["semicolons and decimal commas"])):
        (tmp_path / f"{name}.csv").write_bytes(content)
        data = concrete(tmp_path / f"{name}.csv")
        data.setup("fit")
        assert data.train is not None
        parts.append(data.train)
    assert all((a == b).all() for a, b in zip(*parts, strict=True))


def test_columns_beside_the_nine_are_left_out_and_named(tmp_path: Path) -> None:
    ROWS.rename(columns=dict(zip(NAMES, UNITS, strict=True))).assign(Lab=range(40)).to_csv(
        tmp_path / "lab.csv", index=False
    )
    sheet = concrete(tmp_path / "lab.csv").read()
    assert sheet.names == NAMES
    assert any("left out beside its nine columns: Lab" in note for note in sheet.notes)
    named = concrete(tmp_path / "lab.csv", target="Age (day)").read()
    assert "Lab" in named.names, "a title that was typed in full is taken at its word"


@pytest.mark.parametrize(("rows", "decimal", "value"), [
    ("a;y\n1.040;2\n2.5;3\n3.5;4\n", None, 1.04),
    ("a;y\n1.040;2,5\n2.000;3\n3.000;4\n", None, 1040),
    ("a;y\n1.040.000;2\n2;3\n3;4\n", None, 1_040_000),
    ("a\ty\n1.040\t2\n2.500\t3\n3.125\t4\n", None, 1.04),
    ("a,y\n1.040,2\n2.500,3\n3.125,4\n", None, 1.04),
    ("a;y\n1.040;2\n2.500;3\n3.125;4\n", "point", 1.04),
    ("a;y\n1.040;2\n2.500;3\n3.125;4\n", "comma", 1040),
    ("a;y\n1,040;2\n2,500;3\n3,125;4\n", "comma", 1.04),
    ("a;y\n-1'040.5;2\n2;3\n3;4\n", None, -1040.5),
    ("a;y\n1,5e3;2\n2;3\n3;4\n", None, 1500),
    ("a;y\n,5;2\n2;3\n3;4\n", None, 0.5),
])  # fmt: skip
def test_the_decimal_mark_is_told_by_the_numbers(tmp_path: Path, rows: str, decimal: str | None, value: float) -> None:
    (tmp_path / "t.csv").write_text(rows)
    assert read_sheet(tmp_path / "t.csv", None, decimal).numbers["a"].iloc[0] == value


@pytest.mark.parametrize(("content", "message"), [
    ("a;y\n1.040;2\n2.500;3\n3.125;4\n", r"numbers such as 1\.040, with a decimal mark or a mark of thousands.*\+data\.decimal=point or \+?data\.decimal=comma"),
    ('a,y\n"1,040",2\n"2,500",3\n"3,125",4\n', r"numbers such as 1,040"),
    ("a;y\n1,5;2.5\n1,5;2\n3;4\n", r"numbers such as 2\.5 and such as 1,5.*data\.decimal=point"),
    ("a,b;y\nu,v;w\nu,x;w\n", r"separated by comma or semicolon.*\+data\.delimiter=comma"),
    ("a,b,y\n1,2,3\n1,2\n3,4,5\n", r"separated by comma, row 2 below the header has 2 fields, the header 3.*data\.delimiter="),
    ("a,b,y\n1,2,3\n1,2,3,4\n3,4,5\n", r"row 2 below the header has 4 fields"),
    (",y\nx,1\nx,2\nz,3\n", r"column 1 has no title"),
    ("a,,y\n1,5,1\n2,5,2\n3,6,3\n", r"column 2 has no title"),
    (" a ,a,y\n1,5,1\n2,5,2\n3,6,3\n", r"column name 'a' appears twice"),
    (b"\xff\xfe\x00", r"not the utf-16 that it says"),
    (b"a,y\n1,\x002\n", r"bytes that no text has"),
    (b"%PDF-1.4", r"a PDF document"),
    (b"PAR1xxxx", r"a Parquet file"),
    (gzip.compress(b"a,y\n1,2\n", mtime=0)[:-9], r"compressed, and truncated or altered"),
    ("\n\n", r"it is empty"),
    ("|", r"it is empty"),
    (";;;\n;\n", r"it is empty"),
    ("sep=;\n;;\n", r"it is empty"),
])  # fmt: skip
def test_what_cannot_be_told_is_asked_for(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError, match=message) as raised:
        concrete(path, target="y").read()
    assert "\n" not in str(raised.value)


def test_a_zip_named_csv_is_refused(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("t.csv", PLAIN)
    (tmp_path / "t.csv").write_bytes(packed.getvalue())
    with pytest.raises(UserError, match=r"not a CSV file but a zip archive.*Unpack it"):
        read_sheet(tmp_path / "t.csv")


def test_a_million_columns_are_refused_at_the_header(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        ",".join(f"c{i}" for i in range(1_000_000)) + "\n" + ",".join("1" * 1_000_000) + "\n"
    )
    with pytest.raises(UserError, match=r"has 1,000,000 columns; at most 10,000"):
        read_sheet(tmp_path / "t.csv")


def test_a_file_beyond_memory_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "t.csv").open("wb") as file:
        file.truncate(2**40)  # a sparse file: it takes no space
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail("it was read"))
    with pytest.raises(UserError, match=r"t\.csv needs [\d,.]+ GiB of memory; this machine has"):
        read_sheet(tmp_path / "t.csv")


@settings(max_examples=50)
@given(
    st.lists(st.lists(st.floats(-1e6, 1e6).map(lambda v: round(v, 2)), min_size=3, max_size=3), min_size=4, max_size=8),
    st.sampled_from(["semicolon", "tab", "pipe", "comma"]),
    st.sampled_from(["point", "comma"]),
)
def test_what_is_said_of_a_file_is_what_counts(rows: list[list[float]], delimiter: str, decimal: str) -> None:
    mark = dialect.DELIMITERS[delimiter]
    text = [[repr(v).replace(".", dialect.DECIMALS[decimal]) for v in row] for row in rows]
    quoted = [[f'"{cell}"' if mark in cell else cell for cell in row] for row in [["a", "b", "y"], *text]]
    path = Path("said.csv")
    path.write_text("\n".join(mark.join(row) for row in quoted))
    assert np.array_equal(read_sheet(path, delimiter, decimal).numbers.to_numpy(), np.array(rows))


def test_unknown_names_of_marks_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(PLAIN)
    with pytest.raises(UserError, match=re.escape("There is no 'colon' in data.delimiter. Did you mean 'semicolon'?")):
        read_sheet(tmp_path / "t.csv", "colon")
    with pytest.raises(UserError, match=r"no '\.' in data\.decimal.*Valid: point, comma"):
        read_sheet(tmp_path / "t.csv", None, ".")
