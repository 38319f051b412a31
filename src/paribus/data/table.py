"""Read any table with a column to predict: numbers or classes, from a CSV or Parquet file."""

import logging
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from paribus.data import files
from paribus.data.cells import is_missing, name_value, sort_values
from paribus.data.encoding import compute_quantile_edges, encode_one_hot, encode_piecewise_linear
from paribus.data.module import InMemory, Part
from paribus.data.problems import write_list
from paribus.data.selection import FEWEST_ROWS, Selection
from paribus.data.sheet import MOST_NAMED, Sheet, read_sheet
from paribus.errors import UserError, unknown_name
from paribus.paths import parse_path

log = logging.getLogger(__name__)

TASKS = ("regression", "classification")
FEW = 20  # up to so many different whole numbers may be classes
MISSING_VALUE = "(missing)"  # the category of a missing value
INPUT_BYTES = 32  # a number in memory while a table is prepared


class Table(InMemory):
    """Rows of a table: features standardised by the training part, a number to predict in its own unit, or a class.

    Args:
        path: a CSV or Parquet file.
        target: the column to predict; all others are features.
        target_unit: what the values of a regression are divided by; losses, metrics and predictions are in this unit.
        task: "regression" or "classification"; None: text is a classification, numbers are a regression. A
            target of few different whole numbers may be either, and needs a task.
        categorical: "one_hot" or the names of columns: one input for each value of columns of text, or of those named.
        delimiter, decimal: names of marks (paribus.data.dialect); None where they are to be recognised.
        bins: number of bins of the piecewise-linear encoding that is added to each feature, between quantiles of the
            training part (paribus.data.encoding): features * (1 + bins) inputs. None or 0 for the features alone.
        val_fraction, test_fraction: of the rows that are used.
        drop: columns that are left out, before anything else; None: none.
        missing: what becomes of missing values in the columns that are used. "refuse": an error. "drop": their rows are
            left out before the split. "fill": numbers become the column's median in the training part, values of a
            categorical column a category of their own; rows without a target are left out before the split.
    """

    key_prefix = ""  # what is typed before the keys that messages name

    def __init__(
        self,
        path: str | None,
        target: str | int | None,
        batch_size: int,
        val_fraction: float,
        test_fraction: float,
        train_subset: int | None,
        train_on_validation: bool,
        seed: int,
        task: str | None = None,
        categorical: Sequence[str | int] | str | None = None,
        delimiter: str | None = None,
        decimal: str | None = None,
        bins: int | None = None,
        drop: Sequence[str | int] | str | None = None,
        missing: str = "refuse",
        target_unit: float = 1.0,
    ):
        super().__init__(batch_size, seed, train_subset, train_on_validation)
        if not isinstance(bins or 0, int) or (bins or 0) < 0:
            raise UserError(f"data.bins is {bins}; it must be a whole number, at least 1, or null for none.")
        if path is None:
            raise UserError("data.path is null; name a CSV or Parquet file with data.path=FILE.")
        if task is not None and task not in TASKS:
            raise unknown_name(task, "data.task", TASKS)
        self.path = parse_path(path, "data.path")
        self.target, self.target_unit = target, target_unit
        self.selection = Selection(drop, missing, categorical, self.key_prefix)
        self.delimiter, self.decimal = delimiter, decimal
        self.bins = bins or 0
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        self.features: list[str] = []
        self.categories: dict[str, list[str]] = {}  # the values of each column that is encoded one-hot
        self._task = task
        self._mean = self._std = np.zeros(0)
        self._edges: list[list[float]] = []
        self._medians: dict[str, float] = {}  # of the training part, of each number that may be missing

    def setup(self, stage: str) -> None:
        if stage == "test" and not self.features:
            super().setup("fit")  # the test rows are standardised by the training part
        super().setup(stage)

    def is_available(self) -> bool:
        return self.path.exists()

    def load(self, test: bool) -> tuple[Part | None, Part | None, Part | None]:
        sheet = self.read()
        if self.fingerprint not in ("", sheet.fingerprint):
            raise UserError(
                f"{self.path} has changed since the run was trained, so its rows would be split differently. "
                "Restore the old file, or train again."
            )
        self.fingerprint = sheet.fingerprint
        sheet, target = self.prepare(sheet)
        unit = [] if self.target_unit == 1 else [f"{target} is in units of {self.target_unit:,.12g}"]
        for note in [*sheet.notes, *unit]:
            log.info("%s: %s", self.path, note)
        targets = self.read_targets(sheet, target)
        features = self.read_features(sheet, target)
        train, val, tested = self.choose(len(features), *self.arrange_rows(features))
        if not test:
            self._fit_statistics(features, train.numpy())
        inputs = self.inputs(features)
        if test:
            return None, None, (inputs[tested], targets[tested])
        return (inputs[train], targets[train]), (inputs[val], targets[val]), None

    def read(self) -> Sheet:
        """Read the file. A subclass may rename or leave out columns."""
        return read_sheet(self.path, self.delimiter, self.decimal)

    def arrange_rows(self, features: pd.DataFrame) -> tuple[int, int, Tensor | None]:
        """Return the sizes of the validation and test part, and the order of the rows; None: a random one."""
        return round(len(features) * self.val_fraction), round(len(features) * self.test_fraction), None

    def transform(self, numbers: pd.DataFrame) -> pd.DataFrame:
        """Return the features that are numbers as they are standardised; a subclass may take logarithms, say."""
        return numbers

    def find_target(self, sheet: Sheet) -> str:
        """Return the title of the column to predict. Raises UserError where there is none, or too little beside it."""
        if self.target is None:
            more = ", ..." if len(sheet.names) > MOST_NAMED else ""
            raise UserError(f"data.target is null; name the column to predict with data.target=COLUMN. {self.path} has "
                            f"{', '.join(sheet.names[:MOST_NAMED])}{more}.")  # fmt: skip
        title = sheet.find_column(self.target, "data.target")
        if len(sheet.names) < 2 or len(sheet.raw) < FEWEST_ROWS:
            raise UserError(f"{self.path} needs a feature besides {title!r} and at least {FEWEST_ROWS} rows; it has "
                            f"{len(sheet.raw)}.")  # fmt: skip
        return title

    def prepare(self, sheet: Sheet) -> tuple[Sheet, str]:
        """Return the columns and rows that are used, and the title of the target.

        Raises UserError with all that is wrong with the columns, and the keys that mend it.
        """
        target = self.find_target(sheet)
        return self.selection.select(sheet, target, lambda used: self.read_targets(used, target)), target

    def read_targets(self, sheet: Sheet, target: str) -> Tensor:
        """Decide the task, and return the targets: class numbers, or values."""
        self.task = self._task or decide_task(sheet, target)  # type: ignore[assignment]
        if self.task == "regression":
            if sheet.is_text(target):
                raise UserError(f"data.task=regression needs numbers, but the column {target!r} of {self.path} holds "
                                "text. Choose another data.target, or data.task=classification.")  # fmt: skip
            self.out_features = 1
            return torch.tensor(sheet.get_numbers(target).to_numpy() / self.target_unit, dtype=torch.float32)
        if self.target_unit != 1:
            raise UserError(f"data.target_unit is {self.target_unit:g}, but the classes of {target!r} have no unit. "
                            "Leave it out.")  # fmt: skip
        texts = sheet.get_texts(target)
        names = sort_values(texts)
        if not 2 <= len(names) <= len(texts) // 2:
            raise UserError(
                f"The column {target!r} of {self.path} has {len(names)} different values in {len(texts)} rows: no "
                "classes to learn. Choose another data.target, or data.task=regression for a column of numbers."
            )
        self._restore_classes(names)
        places = {name: i for i, name in enumerate(names)}
        return torch.tensor(texts.map(places).to_numpy(), dtype=torch.int64)

    def _restore_classes(self, names: Sequence[str]) -> None:
        self.task, self.class_names, self.out_features = "classification", list(names), len(names)

    def read_features(self, sheet: Sheet, target: str) -> pd.DataFrame:
        """Return the features: numbers, NaN where one is to be filled, and text in columns that are encoded one-hot."""
        names = [name for name in sheet.names if name != target]
        encoded = self.selection.find_encoded(sheet, target)
        columns = {
            name: sheet.get_texts(name, MISSING_VALUE) if name in encoded else sheet.get_numbers(name) for name in names
        }
        self.categories = {name: sort_categories(columns[name]) for name in names if name in encoded}
        self.features = names
        files.require_memory(len(sheet.raw) * self.count_inputs() * INPUT_BYTES, f"{self.path} with its inputs")
        return pd.DataFrame(columns)

    def count_inputs(self) -> int:
        numeric = len(self.features) - len(self.categories)
        return numeric * (1 + self.bins) + sum(map(len, self.categories.values()))

    def _fit_statistics(self, features: pd.DataFrame, train: np.ndarray) -> None:
        rows = features.iloc[train]
        if self.selection.missing == "fill":
            medians = rows[[name for name in self.features if name not in self.categories]].median()
            unknown = [str(name) for name in medians.index[medians.isna()]]
            if unknown:
                raise UserError(f"{self.path}: no row of the training part has a value of {unknown[0]!r} to fill "
                                f"others with. Leave the column out: {write_list('data.drop', unknown)}.")  # fmt: skip
            self._medians = {str(name): float(median) for name, median in medians.items()}
        values = self._get_numbers(rows)
        std = values.std(axis=0)
        self.restore(
            {
                **self.statistics(),
                "mean": values.mean(axis=0).tolist(),
                "std": np.where(std > 0, std, 1.0).tolist(),  # a constant column becomes 0
                "edges": [compute_quantile_edges(column, self.bins) for column in values.T] if self.bins else [],
            }
        )

    def _get_numbers(self, features: pd.DataFrame) -> np.ndarray:
        """Return the features that are numbers, filled and transformed, (n, numbers)."""
        names = [name for name in self.features if name not in self.categories]
        numbers = features[names]
        if self._medians:
            numbers = numbers.assign(
                **{n: numbers[n].mask(is_missing(numbers[n]), m) for n, m in self._medians.items()}
            )
        try:
            return self.transform(numbers).to_numpy(dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise UserError(f"Every value of a row must be a finite number: {error}.") from None

    def _name_values(self, column: pd.Series) -> pd.Series:
        """Return the values of a categorical column as the names that stand for them."""
        names = column.map(name_value)
        return names.mask(is_missing(column), MISSING_VALUE) if self.selection.missing == "fill" else names

    def inputs(self, raw: Any) -> Tensor:
        """Standardise a data frame with the features' columns, or an array in their order; return float32."""
        if isinstance(raw, pd.DataFrame):
            missing = [name for name in self.features if name not in raw]
            if missing:
                raise UserError(f"The table lacks the columns {', '.join(missing)}.")
            frame = raw[self.features]
        else:
            values = np.atleast_2d(np.asarray(raw, dtype=object if self.categories or self._medians else np.float64))
            if values.shape[1] != len(self.features):
                raise UserError(f"Rows of {values.shape[1]} values given; the network takes {len(self.features)}: "
                                f"{', '.join(self.features)}.")  # fmt: skip
            frame = pd.DataFrame(values, columns=self.features)
        numbers = self._get_numbers(frame)
        if not np.isfinite(numbers).all():
            raise UserError("Every value of a row must be a finite number.")
        seen = [(numbers - self._mean) / self._std]
        seen += [encode_piecewise_linear(v, edges, self.bins) for v, edges in zip(numbers.T, self._edges, strict=False)]
        seen += [encode_one_hot(self._name_values(frame[name]), name, known) for name, known in self.categories.items()]
        return torch.from_numpy(np.hstack(seen)).float()

    def statistics(self) -> dict[str, Any]:
        return {
            "features": self.features,
            "mean": self._mean.tolist(),
            "std": self._std.tolist(),
            "edges": self._edges,
            "medians": self._medians,
            "sha256": self.fingerprint,
            "categories": self.categories,
            "classes": self.class_names,
        }

    def restore(self, statistics: dict[str, Any]) -> None:
        self.features = list(statistics["features"])
        self.categories = dict(statistics.get("categories", {}))
        self._mean, self._std = np.array(statistics["mean"]), np.array(statistics["std"])
        self._edges = list(statistics.get("edges", []))
        self._medians = dict(statistics.get("medians", {}))
        self.fingerprint = str(statistics["sha256"])
        self.in_shape = (self.count_inputs(),)
        if statistics.get("classes"):
            self._restore_classes(statistics["classes"])
        else:
            self.task, self.out_features = "regression", 1


def sort_categories(column: pd.Series) -> list[str]:
    """Return the different values of a categorical column in order, the one that stands for missing ones last."""
    missing = column == MISSING_VALUE
    return sort_values(column[~missing]) + ([MISSING_VALUE] if missing.any() else [])


def decide_task(sheet: Sheet, target: str) -> Literal["regression", "classification"]:
    """Decide what a column is. Raises UserError where its few whole numbers may be either."""
    if sheet.is_text(target) or pd.api.types.is_bool_dtype(sheet.raw[target]):
        return "classification"
    numbers = sheet.get_numbers(target)
    values = numbers.unique()
    if len(values) <= min(FEW, len(numbers) // 2) and all(float(value).is_integer() for value in values):
        raise UserError(
            f"The column {target!r} of {sheet.path} has {len(values)} different whole numbers: a regression or a "
            "classification? Say which: data.task=regression or data.task=classification."
        )
    return "regression"
