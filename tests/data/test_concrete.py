from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.data.concrete import CONCRETE, Concrete
from paribus.errors import UserError

INGREDIENTS = 7


def concrete(**changes: object) -> Concrete:
    arguments = {"path": None, "target": "strength", "split": "random", "log_age": False, "batch_size": 64,
                 "val_fraction": 0.15, "test_fraction": 0.15, "train_subset": None, "train_on_validation": False,
                 "seed": 1}  # fmt: skip
    return Concrete(**{**arguments, **changes})  # type: ignore[arg-type]


def parts(data: Concrete) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
    data.setup("fit")
    data.setup("test")
    assert data.train and data.val and data.test
    return data.train, data.val, data.test


def test_the_rows_are_all_there() -> None:
    table = pd.read_csv(CONCRETE)
    assert table.shape == (1030, 9)
    assert len(table.iloc[:, :INGREDIENTS].drop_duplicates()) == 427
    assert table.strength.mean() == pytest.approx(35.818, abs=0.001)


@pytest.mark.skipif(not SHARED.exists(), reason="no ../shared/data beside the checkout")
def test_the_rows_agree_with_the_full_precision() -> None:
    ours, full = pd.read_csv(CONCRETE), pd.read_csv(SHARED / "concrete" / "concrete.csv")
    assert list(ours.columns) == list(full.columns)
    difference = (ours - full).abs().max()
    assert difference.drop("strength").max() <= 0.05 + 1e-9
    assert difference["strength"] <= 0.005


def test_split_and_standardisation_are_those_of_pandas() -> None:
    train, val, test = parts(concrete())
    assert [len(x) for x, _ in (train, val, test)] == [722, 154, 154]
    # the rows of each part, found again by undoing the standardisation with the statistics of the training rows
    data = concrete()
    data.setup("fit")
    table = pd.read_csv(CONCRETE)
    statistics = data.statistics()
    restored = [(x.double().numpy() * statistics["std"] + statistics["mean"], y.numpy()) for x, y in (train, val, test)]
    rows = np.vstack([np.column_stack(part) for part in restored])
    expected = table.to_numpy(dtype=float)
    assert np.allclose(rows[np.lexsort(rows.T.round(2))], expected[np.lexsort(expected.T.round(2))], atol=1e-3)
    training = pd.DataFrame(restored[0][0], columns=table.columns[:-1])
    assert np.allclose(training.mean(), statistics["mean"], rtol=1e-5)
    assert np.allclose(training.std(ddof=0), statistics["std"], rtol=1e-5)


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_grouped_split_keeps_every_mix_on_one_side(seed: int) -> None:
    data = concrete(split="grouped", seed=seed)
    statistics_free = [set(map(tuple, x[:, :INGREDIENTS].tolist())) for x, _ in parts(data)]
    train, val, test = statistics_free
    assert not train & val
    assert not train & test
    assert not val & test
    assert len(train | val | test) == 427
    for (x, _), wanted in zip(parts(data), (722, 154, 154), strict=True):
        assert abs(len(x) - wanted) <= 20  # the largest mix has 20 rows or fewer


def test_random_split_has_the_same_mix_on_both_sides() -> None:
    train, _, test = parts(concrete())
    mixes = [set(map(tuple, x[:, :INGREDIENTS].tolist())) for x, _ in (train, test)]
    assert len(mixes[0] & mixes[1]) > 50


def test_log_age_changes_that_column_alone() -> None:
    plain, logged = concrete(), concrete(log_age=True)
    (x, _), (z, _) = parts(plain)[0], parts(logged)[0]
    assert torch.equal(x[:, :INGREDIENTS], z[:, :INGREDIENTS])
    age = np.log(pd.read_csv(CONCRETE).age)
    back = z[:, INGREDIENTS].double().numpy() * logged.statistics()["std"][-1] + logged.statistics()["mean"][-1]
    assert set(back.round(4)) <= set(age.round(4))


def test_train_on_validation_uses_both_parts_for_everything() -> None:
    (_, y), (_, w), _ = parts(concrete())
    data = concrete(train_on_validation=True)
    (both, targets), (none, _), (tested, _) = parts(data)
    assert len(both) == 722 + 154
    assert len(none) == 0
    assert torch.equal(targets, torch.cat([y, w]))
    assert torch.allclose(both.mean(0), torch.zeros(8), atol=1e-5)
    assert len(tested) == 154


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    table = pd.DataFrame({"a": range(40), "const": 3, "y": np.arange(40) * 2.0})
    table.to_csv(tmp_path / "own.csv", index=False)
    data = concrete(path=str(tmp_path / "own.csv"), target="y", split="grouped")
    (x, y), _, _ = parts(data)
    assert data.in_shape == (2,)
    assert torch.isfinite(x).all()
    assert (x[:, 1] == 0).all()
    back = x[:, 0].double() * data.statistics()["std"][0] + data.statistics()["mean"][0]
    assert torch.allclose(2 * back, y.double(), atol=1e-3)


@pytest.mark.parametrize(("text", "message"), [
    ("a,y\n1,2\n3,x\n4,5\n", r"row 2 below the header, column 'y' is 'x'"),
    ("a,y\n1,2\n,3\n4,5\n", r"column 'a': empty in 1 of 3 rows \(row 2 below the header\): data=table data\.missing=drop or"),
    ("a,y\n1,2\nNaN,3\n4,5\n", r"column 'a': empty in 1 of 3 rows"),
    ("a,y\n1,2\ninf,3\n4,5\n", r"column 'a': 'inf' is no finite number \(row 2 below"),
    ("a,b\n1,2\n3,4\n4,5\n", r"There is no .y. in the columns of .*Valid: a, b"),
    ("", "not a CSV"),
    ("a,y\n1,2\n3,4,5,6\n", "not a CSV"),
    ("y\n1\n2\n3\n4\n", "needs a feature"),
    ("a,b,y\n1,2,3,4\n5,6,7,8\n", "rows of equal length"),
    ("a,a,y\n1,2,3\n4,5,6\n7,8,9\n", "appears twice"),
    ("a,y\n1,2\n", "at least 3 rows"),
])  # fmt: skip
def test_a_table_with_a_fault_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "own.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        concrete(path=str(path), target="y").load(test=False)


@pytest.mark.parametrize(("changes", "message"), [
    ({"path": "nowhere.csv"}, "does not exist"),
    ({"split": "gruoped"}, "Did you mean 'grouped'"),
    ({"target": "strenght"}, "Did you mean 'strength'"),
    ({"val_fraction": 0.5, "test_fraction": 0.5}, "leave too few"),
    ({"val_fraction": 0.0}, "leave too few"),
])  # fmt: skip
def test_arguments_that_cannot_be_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        concrete(**changes).setup("fit")


def test_log_age_needs_positive_ages(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("age,y\n" + "\n".join(f"{i},1" for i in range(20)))
    with pytest.raises(UserError, match="ages above 0"):
        concrete(path="own.csv", target="y", log_age=True).setup("fit")
    with pytest.raises(UserError, match="needs a column 'age'"):
        concrete(path="own.csv", target="age", log_age=True).setup("fit")


def test_new_rows_as_table_or_array() -> None:
    data = concrete()
    data.setup("fit")
    table = pd.read_csv(CONCRETE).head(3)
    shuffled = table[list(reversed(table.columns))]
    assert torch.equal(data.inputs(shuffled), data.inputs(table.drop(columns="strength").to_numpy()))
    with pytest.raises(UserError, match="lacks the columns age"):
        data.inputs(table.drop(columns="age"))
    with pytest.raises(UserError, match="Rows of 9 values"):
        data.inputs(table.to_numpy())


def test_bins_stand_beside_the_features_and_follow_the_training_part() -> None:
    data, plain = concrete(bins=4), concrete()
    train, val, test = parts(data)
    for encoded, alone in zip((train, val, test), parts(plain), strict=True):
        assert encoded[0].shape == (len(alone[0]), 8 * 5)
        assert torch.equal(encoded[0][:, :8], alone[0]) and torch.equal(encoded[1], alone[1])
    # age, the last feature: its quartiles among the training rows, and where its median stands
    ages = pd.Series((plain.train[0][:, 7].double() * plain._std[7] + plain._mean[7]).round())  # type: ignore[index]
    edges = data.statistics()["edges"][7]
    assert edges == pytest.approx(sorted(set(ages.quantile([0, 0.25, 0.5, 0.75, 1]))))
    row = pd.DataFrame([[300, 0, 0, 180, 6, 950, 780, ages.median()]], columns=data.features)
    assert data.inputs(row)[0, -4:].tolist() == pytest.approx([float(edge < ages.median()) for edge in edges[:4]])
    # what a checkpoint keeps is enough
    loaded = concrete(bins=4)
    loaded.restore(data.statistics())
    assert torch.equal(loaded.inputs(row), data.inputs(row))


def test_a_negative_number_of_bins_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.bins is -1"):
        concrete(bins=-1)
