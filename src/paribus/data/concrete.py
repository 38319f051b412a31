"""Read concrete compressive strength (Yeh, 1998), or any table of numbers with a column to predict.

`concrete.csv` beside this file: 1,030 rows; seven ingredients in kg/m3, age in days, strength in MPa. From I-C. Yeh,
"Modeling of strength of high-performance concrete using artificial neural networks", Cement and Concrete Research
28(12), 1998, UCI Machine Learning Repository, doi:10.24432/C5PK67, licence CC BY 4.0; taken from the data frame
`concrete` of the R package modeldata (ingredients rounded to 1 decimal, strength to 2), its last column renamed.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from paribus.data import files
from paribus.data.encoding import compute_quantile_edges, encode_piecewise_linear
from paribus.data.module import InMemory, Part
from paribus.errors import UserError, unknown_name
from paribus.randomness import make_generator

CONCRETE = Path(__file__).with_name("concrete.csv")
AGE = "age"


class Concrete(InMemory):
    """Rows of a table: features standardised by the training part, the target in its own unit (concrete: MPa).

    Args:
        path: a CSV file of numbers with a header; None for the concrete data.
        target: the column to predict; all others are features.
        split: "random", or "grouped", which keeps a mix (rows that differ in age alone) in one part. The 1,030 rows
            hold 427 mixes, so a random split tests on mixes from training.
        log_age: whether to replace the column `age` (days, above 0) by its natural logarithm.
        bins: number of bins of the piecewise-linear encoding that is added to each feature, between quantiles of the
            training part (paribus.data.encoding): features * (1 + bins) inputs. None or 0 for the features alone.
        val_fraction, test_fraction: of the rows.
    """

    task = "regression"
    out_features = 1

    def __init__(
        self,
        path: str | None,
        target: str,
        split: Literal["random", "grouped"],
        log_age: bool,
        batch_size: int,
        val_fraction: float,
        test_fraction: float,
        train_subset: int | None,
        train_on_validation: bool,
        seed: int,
        bins: int | None = None,
    ):
        super().__init__(batch_size, seed, train_subset, train_on_validation)
        if not isinstance(bins or 0, int) or (bins or 0) < 0:
            raise UserError(f"data.bins is {bins}; it must be a whole number, at least 1, or null for none.")
        if split not in ("random", "grouped"):
            raise unknown_name(split, "data.split", ("random", "grouped"))
        self.path = CONCRETE if path is None else Path(path)
        self.target = target
        self.split = split
        self.log_age = log_age
        self.bins = bins or 0
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        self.features: list[str] = []

    def setup(self, stage: str) -> None:
        if stage == "test" and not self.features:
            super().setup("fit")  # the test rows are standardised by the training part
        super().setup(stage)

    def is_available(self) -> bool:
        return self.path.exists()

    def load(self, test: bool) -> tuple[Part | None, Part | None, Part | None]:
        table, fingerprint = read_table(self.path, self.target)
        if self.fingerprint not in ("", fingerprint):
            raise UserError(
                f"{self.path} has changed since the run was trained, so its rows would be split differently. "
                "Restore the old file, or train again."
            )
        self.fingerprint = fingerprint
        features = table.drop(columns=self.target)
        n = len(table)
        sizes = round(n * self.val_fraction), round(n * self.test_fraction)
        order = None
        if self.split == "grouped":
            order, sizes = self._order_by_mix(features, *sizes)
        train, val, tested = self.choose(n, *sizes, order)
        if not test:
            self._fit_statistics(features.iloc[train.numpy()])
        inputs = self.inputs(features)
        targets = torch.tensor(table[self.target].to_numpy(), dtype=torch.float32)
        if test:
            return None, None, (inputs[tested], targets[tested])
        return (inputs[train], targets[train]), (inputs[val], targets[val]), None

    def _order_by_mix(self, features: pd.DataFrame, val_size: int, test_size: int) -> tuple[Tensor, tuple[int, int]]:
        """Order rows at random by whole mixes; return the order and the nearest part sizes that divide no mix."""
        columns = [c for c in features.columns if c != AGE] or [AGE]
        mix = features.groupby(columns, sort=False).ngroup().to_numpy()
        shuffled = torch.randperm(mix.max() + 1, generator=make_generator(self.seed, "split")).numpy()
        rank = np.empty_like(shuffled)
        rank[shuffled] = np.arange(len(shuffled))
        order = np.argsort(rank[mix], kind="stable")
        borders = np.cumsum(np.bincount(mix)[shuffled])
        val = int(borders[np.abs(borders - val_size).argmin()])
        both = int(borders[np.abs(borders - val - test_size).argmin()]) if test_size else val
        return torch.from_numpy(order), (val, both - val)

    def _fit_statistics(self, features: pd.DataFrame) -> None:
        values = self._transform(features)
        std = values.std(axis=0)
        self.restore(
            {
                "features": list(features.columns),
                "mean": values.mean(axis=0).tolist(),
                "std": np.where(std > 0, std, 1.0).tolist(),  # a constant column becomes 0
                "edges": [compute_quantile_edges(column, self.bins) for column in values.T] if self.bins else [],
                "sha256": self.fingerprint,
            }
        )

    def _transform(self, features: pd.DataFrame) -> np.ndarray:
        if self.log_age:
            if AGE not in features:
                raise UserError(f"data.log_age=true needs a column {AGE!r}; there are {', '.join(features.columns)}.")
            if (features[AGE] <= 0).any():
                raise UserError(f"data.log_age=true needs ages above 0; the smallest is {features[AGE].min()}.")
            features = features.assign(**{AGE: np.log(features[AGE].astype(float))})
        return features.to_numpy(dtype=np.float64)

    def inputs(self, raw: Any) -> Tensor:
        """Standardise a data frame with the features' columns, or an array in their order; return float32."""
        if isinstance(raw, pd.DataFrame):
            missing = [name for name in self.features if name not in raw]
            if missing:
                raise UserError(f"The table lacks the columns {', '.join(missing)}.")
            frame = raw[self.features]
        else:
            values = np.atleast_2d(np.asarray(raw, dtype=np.float64))
            if values.shape[1] != len(self.features):
                raise UserError(f"Rows of {values.shape[1]} values given; the network takes {len(self.features)}: "
                                f"{', '.join(self.features)}.")  # fmt: skip
            frame = pd.DataFrame(values, columns=self.features)
        transformed = self._transform(frame)
        if not np.isfinite(transformed).all():
            raise UserError("Every value of a row must be a finite number.")
        seen = [(transformed - self._mean) / self._std]
        seen += [
            encode_piecewise_linear(v, edges, self.bins) for v, edges in zip(transformed.T, self._edges, strict=False)
        ]
        return torch.from_numpy(np.hstack(seen)).float()

    def statistics(self) -> dict[str, Any]:
        return {
            "features": self.features,
            "mean": self._mean.tolist(),
            "std": self._std.tolist(),
            "edges": self._edges,
            "sha256": self.fingerprint,
        }

    def restore(self, statistics: dict[str, Any]) -> None:
        self.features = list(statistics["features"])
        self._mean, self._std = np.array(statistics["mean"]), np.array(statistics["std"])
        self._edges: list[list[float]] = list(statistics.get("edges", []))
        self.fingerprint = str(statistics["sha256"])
        self.in_shape = (len(self.features) * (1 + self.bins),)


def read_table(path: Path, target: str) -> tuple[pd.DataFrame, str]:
    """Read a CSV file of numbers; return it with its sha256. Raises UserError naming the first invalid cell."""
    try:
        # Two raw lines as well: pandas renames duplicate columns, and uses a surplus column as the index.
        head = pd.read_csv(path, header=None, nrows=2, dtype=str, skipinitialspace=True)
        table = pd.read_csv(path, skipinitialspace=True)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist. Name a CSV file with data.path=FILE.") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is not a CSV file of UTF-8 text with a header and rows of equal length: {str(error).strip()}"
        ) from None
    names = head.iloc[0].astype(str).str.strip()
    if names.duplicated().any():
        raise UserError(f"{path}: the column name {names[names.duplicated()].iloc[0]!r} appears twice.")
    if table.shape[1] == 1 and any(mark in table.columns[0] for mark in ";\t|"):
        raise UserError(f"{path} is not separated by commas: its first line is {table.columns[0]!r}.")
    if target not in table:
        raise unknown_name(target, f"the columns of {path} (data.target)", table.columns)
    if table.shape[1] < 2 or len(table) < 3:
        raise UserError(f"{path} needs a feature besides {target!r} and at least 3 rows; it has {len(table)}.")
    for column in table:
        numbers = pd.to_numeric(table[column], errors="coerce").astype(float)
        bad = np.flatnonzero(~np.isfinite(numbers))
        if len(bad):
            cell = table[column].iloc[bad[0]]
            what = "empty or NaN" if pd.isna(cell) else repr(cell)
            raise UserError(
                f"{path}, row {bad[0] + 1} below the header, column {column!r} is {what}; every cell must be a finite "
                f"number ({len(bad)} of {len(table)} in this column are not). Correct or remove those rows."
            )
        large = np.abs(numbers) > np.finfo(np.float32).max
        if large.any():
            raise UserError(
                f"{path}, row {int(large.argmax()) + 1} below the header, column {column!r} is "
                f"{numbers[large].iloc[0]:g}, beyond single precision, in which a network computes. Scale the column."
            )
        table[column] = numbers
    return table, files.compute_digest(path.read_bytes())
