"""data=table: amounts and classes, numbers and texts, from CSV and Parquet, against plain pandas."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.data.table import Table
from paribus.errors import UserError

RANDOM = np.random.default_rng(0)
N = 60
HOUSES = pd.DataFrame({
    "area (m²)": RANDOM.uniform(30, 200, N).round(1),
    "city": RANDOM.choice(["Köln", "Bonn", "Essen"], N),
    "rooms": RANDOM.integers(1, 6, N),
    "price": RANDOM.uniform(1e5, 9e5, N).round(2),
    "kind": RANDOM.choice(["flat", "house"], N),
})  # fmt: skip


def table(path: str | Path | None = "houses.csv", target: str | int | None = "price", **changes: Any) -> Table:
    arguments = {"batch_size": 16, "val_fraction": 0.2, "test_fraction": 0.2, "train_subset": None,
                 "train_on_validation": False, "seed": 1}  # fmt: skip
    return Table(str(path) if path else None, target, **{**arguments, **changes})


def read(data: Table) -> tuple[torch.Tensor, torch.Tensor]:
    """All rows in the order train, validation, test."""
    data.setup("fit")
    data.setup("test")
    assert data.train and data.val and data.test
    return tuple(torch.cat(tensors) for tensors in zip(data.train, data.val, data.test, strict=True))  # type: ignore[return-value]


@pytest.fixture(autouse=True)
def _houses(_own_directory: None) -> None:
    HOUSES.to_csv("houses.csv", index=False)
    HOUSES.to_parquet("houses.parquet")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_numbers_are_standardised_and_texts_one_hot(suffix: str) -> None:
    data = table(f"houses.{suffix}", categorical="one_hot")
    inputs, targets = read(data)
    assert data.task == "regression" and data.out_features == 1 and data.in_shape == (2 + 3 + 2,)
    assert len(data.train[0]) == 36 and len(data.val[0]) == len(data.test[0]) == 12  # type: ignore[index]
    rows = [int(np.flatnonzero(np.isclose(HOUSES.price, float(y), rtol=1e-6))[0]) for y in targets]
    frame = HOUSES.iloc[rows]
    numbers = frame[["area (m²)", "rooms"]]
    expected = (numbers - numbers[:36].mean()) / numbers[:36].std(ddof=0)
    assert np.allclose(inputs[:, :2], expected, atol=1e-5)
    dummies = pd.get_dummies(frame[["city", "kind"]]).to_numpy(dtype=float)  # in the order of the alphabet
    assert np.array_equal(inputs[:, 2:].numpy(), dummies)


def test_targets_are_in_the_unit_that_is_asked_for() -> None:
    inputs, plain = read(table(categorical="one_hot"))
    same, thousands = read(table(categorical="one_hot", target_unit=1000.0))
    assert torch.equal(inputs, same)
    assert np.allclose(thousands, plain.double() / 1000, rtol=1e-6)
    with pytest.raises(
        UserError, match=r"data\.target_unit is 10, but the classes of 'kind' have no unit\. Leave it out"
    ):
        read(table(target="kind", categorical="one_hot", target_unit=10.0))


def test_classes_keep_their_names_in_order() -> None:
    data = table(target="city", categorical=["kind"])
    _, labels = read(data)
    assert (data.task, data.out_features, data.class_names) == ("classification", 3, ["Bonn", "Essen", "Köln"])
    assert labels.dtype == torch.int64
    assert torch.bincount(labels).tolist() == HOUSES.city.value_counts().sort_index().tolist()
    loaded = table(target="city", categorical=["kind"])
    loaded.restore(data.statistics())
    assert loaded.class_names == data.class_names and loaded.out_features == 3 and loaded.task == "classification"
    assert torch.equal(loaded.inputs(HOUSES), data.inputs(HOUSES))


def test_numbers_are_classes_by_choice_in_the_order_of_their_size() -> None:
    frame = pd.DataFrame({"x": range(30), "8": np.tile([10, 9, 2], 10)})
    frame.to_csv("eight.csv", index=False)
    with pytest.raises(
        UserError, match=r"'8' of eight.csv has 3 different whole numbers.*data\.task=regression or data\.task"
    ):
        table("eight.csv", 8).setup("fit")
    data = table("eight.csv", 8, task="classification")
    data.setup("fit")
    assert data.class_names == ["2", "9", "10"]
    amounts = table("eight.csv", "8", task="regression")
    amounts.setup("fit")
    assert (
        amounts.out_features == 1 and amounts.train is not None and set(amounts.train[1].tolist()) <= {2.0, 9.0, 10.0}
    )
    bins = table("eight.csv", 8, task="classification", bins=4)
    bins.setup("fit")
    assert bins.in_shape == (5,)


def test_true_and_false_are_classes_and_features() -> None:
    frame = pd.DataFrame({"x": np.arange(20) % 2 == 0, "ok": np.arange(20) < 9})
    frame.to_parquet("bool.parquet")
    frame.to_csv("bool.csv", index=False)
    for path, changes in (("bool.parquet", {}), ("bool.csv", {"categorical": "one_hot"})):
        data = table(path, "ok", **changes)
        data.setup("fit")
        assert data.class_names == ["False", "True"]
    nothing = table("bool.csv", "ok")
    with pytest.raises(
        UserError,
        match=r"bool\.csv, column 'x': text \('True', 'False'\): data\.categorical=\[x\] makes an input of each of its 2",
    ):
        nothing.setup("fit")


def test_an_index_in_a_parquet_file_is_left_out() -> None:
    HOUSES.drop(columns=["city", "kind"]).iloc[::-1].to_parquet("index.parquet")
    data = table("index.parquet")
    data.setup("fit")
    assert data.features == ["area (m²)", "rooms"]


def test_titles_are_found_without_unit_and_capitals() -> None:
    data = table(target="Area", categorical="one_hot")
    data.setup("fit")
    assert data.features == ["city", "rooms", "price", "kind"]
    named = table(target="  area   (m²) ", categorical=["City", "KIND"])
    named.setup("fit")
    assert list(named.categories) == ["city", "kind"]


def test_a_new_row_needs_known_values_and_numbers() -> None:
    data = table(categorical="one_hot")
    data.setup("fit")
    one = data.inputs([[100.0, "Bonn", 3, "flat"]])
    assert torch.equal(
        one, data.inputs(pd.DataFrame([[3, 100.0, "flat", "Bonn"]], columns=["rooms", "area (m²)", "kind", "city"]))
    )
    with pytest.raises(UserError, match=r"no 'Bohn' in the values of the column city.*Did you mean 'Bonn'"):
        data.inputs([[100.0, "Bohn", 3, "flat"]])
    with pytest.raises(UserError, match="must be a finite number"):
        data.inputs([["many", "Bonn", 3, "flat"]])


def test_a_subset_of_rows_and_a_changed_file(monkeypatch: pytest.MonkeyPatch) -> None:
    data = table(categorical="one_hot", train_subset=5)
    data.setup("fit")
    assert data.train is not None and len(data.train[0]) == 5
    HOUSES.head(50).to_csv("houses.csv", index=False)
    with pytest.raises(UserError, match="has changed since the run was trained"):
        data.setup("test")


def text(rows: str) -> str:
    Path("t.csv").write_text(rows)
    return "t.csv"


@pytest.mark.parametrize(("changes", "message"), [
    ({"path": None}, r"^data\.path is null; name a CSV or Parquet file with data\.path=FILE"),
    ({"path": "none.csv"}, r"none\.csv does not exist"),
    ({"target": None}, r"data\.target is null.*houses\.csv has area \(m²\), city, rooms, price, kind"),
    ({"target": "prize"}, r"no 'prize' in the columns of houses\.csv \(data\.target\)\. Did you mean 'price'"),
    ({"task": "classes"}, r"no 'classes' in data\.task.*Valid: regression, classification"),
    ({"categorical": "onehot"}, r"data\.categorical is 'onehot'; it must be one_hot, a list of columns, or null"),
    ({"categorical": ["town"]}, r"no 'town' in the columns of houses\.csv \(data\.categorical\)"),
    ({"categorical": ["city"]}, r"houses\.csv, column 'kind': text \('\w+', '\w+'\): data\.categorical=\[city,kind\] makes"),
    ({}, r"houses\.csv cannot be used as it is\. Try data\.categorical=\[city,kind\]\n  column 'city': text"),
    ({"target": "city", "task": "regression", "categorical": "one_hot"}, r"task=regression needs numbers, but the column 'city'"),
    ({"task": "classification", "categorical": "one_hot"}, r"'price' of houses\.csv has 60 different values in 60 rows: no classes"),
    ({"bins": -1, "categorical": "one_hot"}, r"data\.bins is -1"),
    ({"bins": 10**12, "categorical": "one_hot"}, r"houses\.csv with its inputs needs [\d,.]+ GiB of memory"),
])  # fmt: skip
def test_choices_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        table(**changes).setup("fit")
    assert len(str(raised.value).splitlines()) == (3 if "Try" in message else 1)


@pytest.mark.parametrize(("rows", "changes", "message"), [
    ("x,price\n1,2\n,3\n4,5\n?,6\n", {}, r"t\.csv, column 'x': empty in 2 of 4 rows \(rows 2, 4 below the header; '\?' counts as empty\): data\.missing=drop or data\.missing=fill\. "),
    ("x,price\n1,2\n-,3\n4,5\nNA,6\n", {}, r"rows 2, 4 below the header; '-' and 'NA' count as empty\)"),
    ("x,price\n1,2.5\n2,\n4,NA\n", {}, r"column 'price': empty in 2 of 3 rows \(rows 2, 3 below the header; 'NA' counts as empty\): data\.missing=drop\. data\.missing=drop leaves out 2 of 3 rows\."),
    ("x,price\n1,a\n2,\n4,b\n5,a\n", {"task": "classification"}, r"column 'price': empty in 1 of 4 rows \(row 2 below"),
    ("x,price\nu,1.5\n,2\nv,2\n", {"categorical": ["x"]}, r"column 'x': empty in 1 of 3 rows \(row 2 below"),
    ("x,price\n1,1e300\n2,3\n4,5\n", {}, r"beyond single precision"),
    ("x,price\n1,2.5\n2,3\n", {}, r"at least 3 rows"),
    ("x,price\n1,2.5\n2,3\n3,5\n", {"val_fraction": 0.15}, r"Of 3 samples, 0 for validation"),
    ("price\n1\n2\n3\n", {}, r"a feature besides 'price'"),
    ("x,price\n1,a\n2,a\n3,a\n4,a\n", {}, r"has 1 different values in 4 rows"),
    ("x,price\n1,5 %\n2,6 %\n3,7 %\n4,5 %\n", {"task": "regression"}, r"holds text"),
])  # fmt: skip
def test_rows_that_cannot_be_learnt_from_are_refused(rows: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        table(text(rows), **changes).setup("fit")


def test_a_column_of_identifiers_is_not_one_hot() -> None:
    pd.DataFrame({"name": [f"n{i}" for i in range(1200)], "y": np.linspace(0.5, 1, 1200)}).to_csv(
        "ids.csv", index=False
    )
    with pytest.raises(
        UserError,
        match=r"column 'name': 1,200 different values, of which at most 1,000 can be inputs: data\.drop=\[name\]",
    ):
        table("ids.csv", "y", categorical="one_hot").setup("fit")


def test_a_spoilt_parquet_file_is_refused() -> None:
    Path("bad.parquet").write_bytes(Path("houses.parquet").read_bytes()[:200])
    with pytest.raises(UserError, match=r"bad\.parquet is not a Parquet file"):
        table("bad.parquet").setup("fit")


@settings(max_examples=30)
@given(
    st.lists(st.sampled_from(["a b", "x[/b]", "=1", "ü", "1.5x", "Bonn"]), min_size=8, max_size=20).filter(
        lambda v: len(set(v)) > 1
    )
)
def test_one_hot_is_the_value_itself(values: list[str]) -> None:
    pd.DataFrame({"v": values, "y": np.arange(len(values)) + 0.5}).to_csv("v.csv", index=False)
    data = table("v.csv", "y", categorical=["v"])
    inputs, targets = read(data)
    for row, y in zip(inputs, targets, strict=True):
        assert row.sum() == 1
        assert data.categories["v"][int(row.argmax())] == values[int(y)]
