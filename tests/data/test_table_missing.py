"""Columns that are left out and missing values of data=table, against plain pandas."""

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from test_table import table

from paribus import record
from paribus.cli import data as command
from paribus.data.problems import write_list
from paribus.data.table import Table
from paribus.errors import UserError

N = 60
KEPT = ["size (m²)", "staff", "shop", "sales"]
USED: dict[str, Any] = {"target": "sales", "drop": ["Date", "id"], "categorical": ["shop"]}


def make_shops() -> pd.DataFrame:
    """Sales by day and shop; 10 rows lack something: 4 a size, 3 a staff, 2 a shop, 2 sales, one of them also a size."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({
        "date": pd.date_range("2024-01-01", periods=N).strftime("%Y-%m-%d"),
        "id": [f"r{i}" for i in range(N)],
        "size (m²)": random.uniform(30, 200, N).round(1),
        "staff": random.integers(1, 6, N).astype(float),
        "shop": random.choice(["North", "South", "East"], N),
        "sales": random.uniform(1, 9, N).round(4),
    })  # fmt: skip
    for column, rows in {"size (m²)": [0, 7, 21, 50], "staff": [3, 4, 5], "shop": [30, 31], "sales": [50, 51]}.items():
        frame.loc[rows, column] = np.nan
    return frame


@pytest.fixture(autouse=True)
def _shops(_own_directory: None) -> None:
    make_shops().to_csv("shops.csv", index=False)
    make_shops().to_parquet("shops.parquet")


def split(data: Table) -> tuple[torch.Tensor, pd.DataFrame]:
    """All inputs in the order train, validation, test, and the rows of the file that they are, found by their sales."""
    data.setup("fit")
    data.setup("test")
    assert data.train and data.val and data.test
    inputs, sales = (torch.cat(parts) for parts in zip(data.train, data.val, data.test, strict=True))
    frame = make_shops()
    places = [int(np.flatnonzero(np.isclose(frame.sales, float(y), rtol=1e-6))[0]) for y in sales]
    assert len(set(places)) == len(places)
    return inputs, frame.iloc[places]


def encode(frame: pd.DataFrame, shops: list[str], training: int) -> np.ndarray:
    """Inputs of rows without missing values, by pandas alone; the first rows are for training."""
    numbers = frame[["size (m²)", "staff"]]
    standard = (numbers - numbers[:training].mean()) / numbers[:training].std(ddof=0)
    return np.column_stack([standard, *(frame.shop == shop for shop in shops)])


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_rows_that_lack_something_are_left_out_before_the_split(suffix: str, caplog: Any) -> None:
    caplog.set_level("INFO")
    data = table(f"shops.{suffix}", missing="drop", **USED)
    inputs, rows = split(data)
    whole = make_shops()[KEPT].dropna()
    assert sorted(rows.index) == list(whole.index) and len(whole) == 50
    assert [len(part[0]) for part in (data.train, data.val, data.test) if part] == [30, 10, 10]
    assert np.allclose(inputs, encode(rows, ["East", "North", "South"], 30), atol=1e-5)
    assert "data.drop leaves out date, id" in caplog.text
    assert "leaves out 10 of 60 rows (missing: size (m²) 4, staff 3, shop 2, sales 2)" in caplog.text
    with pytest.raises(UserError, match="must be a finite number"):
        data.inputs([[np.nan, 3, "East"]])


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_missing_values_are_filled_from_the_training_part(suffix: str, caplog: Any) -> None:
    caplog.set_level("INFO")
    data = table(f"shops.{suffix}", missing="fill", **USED)
    inputs, rows = split(data)
    assert len(rows) == 58, "a target cannot be filled"
    training = len(data.train[0])  # type: ignore[index]
    medians = rows[:training][["size (m²)", "staff"]].median()
    assert not np.allclose(medians, rows[["size (m²)", "staff"]].median()), "else this test could not tell"
    expected = encode(rows.fillna({**medians, "shop": "none"}), ["East", "North", "South", "none"], training)
    assert np.allclose(inputs, expected, atol=1e-5)
    assert data.statistics()["medians"] == pytest.approx(dict(medians))
    assert "data.missing=fill leaves out 2 of 60 rows (missing: sales 2, size (m²) 1)" in caplog.text
    assert "data.missing=fill fills 8 cells in 8 of 58 rows (missing: size (m²) 3, staff 3, shop 2)" in caplog.text
    # what a checkpoint keeps is enough for rows in any form
    loaded = table(f"shops.{suffix}", missing="fill", **USED)
    loaded.restore(data.statistics())
    assert np.allclose(loaded.inputs(rows), expected, atol=1e-5)
    as_text = rows.astype(object).where(rows.notna(), "NA")
    assert np.allclose(loaded.inputs(as_text), expected, atol=1e-5)
    assert torch.equal(loaded.inputs([[None, 2, None]]), loaded.inputs([[medians["size (m²)"], 2, np.nan]]))


def test_numbers_as_categories_are_named_alike_with_and_without_a_missing_one() -> None:
    frame = pd.DataFrame({"x": np.tile([10.0, 2.0, 2.0, np.nan], 10), "y": np.arange(40) + 0.5})
    for path in ("n.csv", "n.parquet"):
        getattr(frame, "to_" + path.split(".")[1])(path, index=False)
        data = table(path, "y", categorical=["x"], missing="fill")
        data.setup("fit")
        assert data.categories == {"x": ["2", "10", "(missing)"]}
        assert torch.equal(data.inputs(frame[:4]), torch.eye(3)[[1, 0, 0, 2]])


def test_one_message_names_all_and_its_keys_serve() -> None:
    with pytest.raises(UserError) as raised:
        table("shops.csv", "sales").setup("fit")
    first, *lines = str(raised.value).splitlines()
    assert first == (
        "shops.csv cannot be used as it is. Try data.drop=[date,id] data.categorical=[shop] data.missing=drop"
    )
    assert lines == [
        "  column 'date': dates ('2024-01-01', '2024-01-02', '2024-01-03', ...): data.drop=[date]",
        "  column 'id': text, 60 different values in 60 rows ('r0', 'r1', 'r2', ...): data.drop=[id]",
        f"  column 'shop': text {tuple(make_shops().shop.unique()[:3])}: data.categorical=[shop] makes an input of each of its "
        "3 values; empty in 2 of 60 rows (rows 31, 32 below the header): data.missing=drop or data.missing=fill",
        "  column 'size (m²)': empty in 4 of 60 rows (rows 1, 8, 22, 51 below the header): data.missing=drop or "
        "data.missing=fill",
        "  column 'staff': empty in 3 of 60 rows (rows 4, 5, 6 below the header): data.missing=drop or data.missing=fill",
        "  and 1 more column",
        "  data.missing=drop leaves out 10 of 60 rows, data.missing=fill fills their cells",
    ]
    typed = dict(key.removeprefix("data.").split("=") for key in re.findall(r"data\.\S+", first))
    chosen: Any = OmegaConf.to_container(OmegaConf.from_dotlist([f"{key}={value}" for key, value in typed.items()]))
    table("shops.csv", "sales", **chosen).setup("fit")


def test_a_key_in_a_message_keeps_what_is_chosen() -> None:
    with pytest.raises(UserError, match=r"column 'id': .*: data\.drop=\[date,id\]\.$"):
        table("shops.csv", "sales", drop=["date"], categorical=["shop"], missing="fill").setup("fit")
    with pytest.raises(UserError, match=r"Try data\.drop=\[id,date\] data\.missing=drop\n"):
        table("shops.csv", "sales", drop=["id"], categorical=["shop"]).setup("fit")


def test_many_columns_of_text_are_encoded_by_one_key() -> None:
    wide = pd.DataFrame({f"c{i}": np.tile(["u", "v"], 10) for i in range(40)}).assign(y=np.arange(20) + 0.5)
    wide.to_csv("wide.csv", index=False)
    with pytest.raises(UserError, match=r"Try data\.categorical=one_hot\n(  column .*\n){5}  and 35 more columns$"):
        table("wide.csv", "y").setup("fit")


@pytest.mark.parametrize(("values", "kind"), [
    (["31.1.2024", "1.2.2024", "3.2.2024", "3.2.2024"], "dates"),
    (["2024-01-31T12:30:00", "2024-02-01T00:00:00"] * 2, "dates"),
    (["Jan 31, 2024", "1 February 2024"] * 2, "dates"),
    (["2024-01", "2024-02"] * 2, "dates"),
    (["1.2.3", "1.2.4"] * 2, "text"),
    (["May", "Monday"] * 2, "text"),
    (["12-345", "12-346"] * 2, "text"),
])  # fmt: skip
def test_dates_are_told_from_other_text(values: list[str], kind: str) -> None:
    pd.DataFrame({"when": values, "x": range(4), "y": [0.5, 1, 2, 3]}).to_csv("when.csv", index=False)
    with pytest.raises(
        UserError, match=rf"column 'when': {kind} .*: data\.{'drop' if kind == 'dates' else 'categorical'}"
    ):
        table("when.csv", "y", val_fraction=0.25, test_fraction=0).setup("fit")


@pytest.mark.parametrize(("changes", "message"), [
    ({"drop": ["dat"]}, r"no 'dat' in the columns of shops\.csv \(data\.drop\)\. Did you mean 'date'"),
    ({"drop": ["Sales"]}, r"data\.drop names 'sales', the column to predict"),
    ({"drop": ["date", "id", "size", "staff", "shop"]}, r"data\.drop leaves no feature of shops\.csv"),
    ({"drop": ["shop"], "categorical": ["shop"]}, r"data\.categorical names 'shop', which data\.drop leaves out"),
    ({"drop": "date"}, r"data\.drop is 'date'; it must be a list: data\.drop=\[date\]"),
    ({"missing": "fil"}, r"no 'fil' in data\.missing\. Did you mean 'fill'"),
])  # fmt: skip
def test_choices_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        table("shops.csv", "sales", **changes).setup("fit")


@pytest.mark.parametrize(("rows", "missing", "message"), [
    ("x,y\n1,0.5\n,1\n2,\n", "drop", r"leaves out 2 of 3 rows \(missing: x 1, y 1\), and at least 3 must be left"),
    ("x,z,y\n1,,0.5\n2,,1\n3,,2\n4,,3\n", "drop", r"column 'z': every cell is empty: data\.drop=\[z\]"),
    ("x,z,y\n1,,0.5\n2,,1\n3,,2\n4,,3\n", "fill", r"column 'z': every cell is empty: data\.drop=\[z\]"),
    ("x,y\n1,\n2,\n3,\n", "drop", r"column 'y': every cell is empty: choose another data\.target"),
    ("x,y\n1,0.5\n2,1.5\nx,2\n,3\n", "fill", r"column 'x': 'x' is no finite number \(row 3 below the header\)"),
    ("x,y\n,0.5\n2,\n3,z\n4,1.5\n5,2\n", "drop", r"row 3 below the header, column 'y' is 'z'; every cell must be"),
])  # fmt: skip
def test_tables_that_no_choice_mends_are_refused(rows: str, missing: str, message: str) -> None:
    Path("t.csv").write_text(rows)
    with pytest.raises(UserError, match=message):
        table("t.csv", "y", missing=missing, val_fraction=0.34, test_fraction=0).setup("fit")


def test_a_column_without_a_value_in_the_training_part_is_refused() -> None:
    frame = pd.DataFrame({"x": range(20), "z": np.nan, "y": np.arange(20) + 0.5})
    plain = table("t.csv", "y", drop=["z"])
    frame.to_csv("t.csv", index=False)
    plain.setup("fit")
    assert plain.train and plain.val
    frame.loc[(plain.val[1] - 0.5).long().tolist(), "z"] = 1.0
    frame.to_csv("t.csv", index=False)
    with pytest.raises(UserError, match=r"no row of the training part has a value of 'z'.*: data\.drop=\[z\]"):
        table("t.csv", "y", missing="fill").setup("fit")


def test_keys_are_quoted_where_a_shell_or_hydra_needs_it() -> None:
    names = ["a", "8", "08", "1e3", "null", "size (m²)", "it's", 'a"b', "a, b", "Köln", "a b"]
    assert write_list("data.drop", names[:2]) == "data.drop=[a,8]"
    [typed] = shlex.split(write_list("data.drop", names))
    assert [str(value) for value in OverridesParser.create().parse_override(typed).value()] == names  # type: ignore[union-attr]


def test_the_data_command_names_the_keys_as_its_own() -> None:
    with pytest.raises(UserError) as raised:
        command.inspect_data(["table", "path=shops.csv", "target=sales"])
    assert "Try drop=[date,id] categorical=[shop] missing=drop\n" in str(raised.value)
    assert "data." not in str(raised.value)


@pytest.mark.slow  # it writes figures
def test_the_data_command_shows_what_is_used(capsys: Any) -> None:
    keys = ["table", "path=shops.csv", "target=sales", "drop=[date,id]", "categorical=[shop]"]
    command.inspect_data([*keys, "missing=drop"])
    said = " ".join(capsys.readouterr().out.split())
    assert "leaves out 10 of 60 rows (missing: size (m²) 4, staff 3, shop 2, sales 2)" in said and "50 rows;" in said
    command.inspect_data([*keys, "missing=fill"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert next(row for row in rows if row[:1] == ["staff"])[:2] == ["staff", "55"]  # 58 with sales, without 3
    command.inspect_data(["table", "path=shops.csv", "target=shop", "drop=[date,id]", "missing=fill"])
    assert "58 rows;" in capsys.readouterr().out


def test_a_run_without_the_keys_is_the_one_with_their_defaults() -> None:
    older = {"data": {"_target_": "paribus.data.table.Table", "path": "x.csv"}, "seed": 1, "model": {}, "metrics": {}}
    now = {**older, "data": {**older["data"], "drop": None, "missing": "refuse", "target_unit": 1.0}}  # type: ignore[dict-item]
    assert record.identify(now) == record.identify(older)
    assert record.use_current_targets(older) == now
    for other in ({"drop": ["a"]}, {"missing": "fill"}, {"target_unit": 1000.0}):
        assert record.identify({**now, "data": {**now["data"], **other}}) != record.identify(now)  # type: ignore[dict-item]
