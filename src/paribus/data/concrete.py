"""Read concrete compressive strength (Yeh, 1998), or another table of numbers with a column to predict.

`concrete.csv` beside this file: 1,030 rows; seven ingredients in kg/m3, age in days, strength in MPa. From I-C. Yeh,
"Modeling of strength of high-performance concrete using artificial neural networks", Cement and Concrete Research
28(12), 1998, UCI Machine Learning Repository, doi:10.24432/C5PK67, licence CC BY 4.0; taken from the data frame
`concrete` of the R package modeldata (ingredients rounded to 1 decimal, strength to 2), its last column renamed.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from paribus.data.cells import simplify
from paribus.data.sheet import Sheet
from paribus.data.table import Table
from paribus.errors import UserError, unknown_name
from paribus.randomness import make_generator

CONCRETE = Path(__file__).with_name("concrete.csv")
AGE = "age"
# How titles of the nine columns begin or what they contain in copies of the data, in small letters without units.
TITLES = {
    "cement": "^cement",
    "blast_furnace_slag": "slag|blast",
    "fly_ash": "ash$|^flyash",
    "water": "^water",
    "superplasticizer": "plastici",
    "coarse_aggregate": "^coarse",
    "fine_aggregate": "^fine",
    AGE: "^age",
    "strength": "strength|^ccs|^csmpa",
}


class Concrete(Table):
    """The concrete data, or another table of numbers, for regression (concrete: MPa).

    Args:
        path: a CSV file of numbers with a header; None for the concrete data.
        target: the column to predict; all others are features. A copy of the concrete data without a column of this
            name gets its columns by their titles, whatever their units and order.
        split: "random", or "grouped", which keeps a mix (rows that differ in age alone) in one part. The 1,030 rows
            hold 427 mixes, so a random split tests on mixes from training.
        log_age: whether to replace the column `age` (days, above 0) by its natural logarithm.
        The other arguments are those of Table.
    """

    key_prefix = "data=table "  # which has keys for text and missing values

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
        delimiter: str | None = None,
        decimal: str | None = None,
    ):
        super().__init__(
            str(CONCRETE) if path is None else path, target, batch_size, val_fraction, test_fraction, train_subset,
            train_on_validation, seed, "regression", None, delimiter, decimal, bins,
        )  # fmt: skip
        if split not in ("random", "grouped"):
            raise unknown_name(split, "data.split", ("random", "grouped"))
        self.task, self.out_features = "regression", 1
        self.split = split
        self.log_age = log_age

    def read(self) -> Sheet:
        """Read the file, and give the columns of a copy of the concrete data their names and order."""
        try:
            sheet = super().read()
        except UserError as error:  # conf/data/concrete.yaml does not have these options
            raise UserError(re.sub(r"\bdata\.(delimiter|decimal)=", r"+data.\1=", str(error))) from None
        return sheet if self.target in sheet.names else name_columns(sheet)

    def arrange_rows(self, features: pd.DataFrame) -> tuple[int, int, Tensor | None]:
        val_size, test_size, order = super().arrange_rows(features)
        if self.split == "random":
            return val_size, test_size, order
        return self._order_by_mix(features, val_size, test_size)

    def _order_by_mix(self, features: pd.DataFrame, val_size: int, test_size: int) -> tuple[int, int, Tensor]:
        """Order rows at random by whole mixes; return the nearest part sizes that divide no mix, and the order."""
        columns = [c for c in features.columns if c != AGE] or [AGE]
        mix = features.groupby(columns, sort=False).ngroup().to_numpy()
        shuffled = torch.randperm(mix.max() + 1, generator=make_generator(self.seed, "split")).numpy()
        rank = np.empty_like(shuffled)
        rank[shuffled] = np.arange(len(shuffled))
        order = np.argsort(rank[mix], kind="stable")
        borders = np.cumsum(np.bincount(mix)[shuffled])
        val = int(borders[np.abs(borders - val_size).argmin()])
        both = int(borders[np.abs(borders - val - test_size).argmin()]) if test_size else val
        return val, both - val, torch.from_numpy(order)

    def transform(self, numbers: pd.DataFrame) -> pd.DataFrame:
        """Return the features, the age in logarithms with `log_age`."""
        if not self.log_age:
            return numbers
        if AGE not in numbers:
            raise UserError(f"data.log_age=true needs a column {AGE!r}; there are {', '.join(numbers.columns)}.")
        if (numbers[AGE] <= 0).any():
            raise UserError(f"data.log_age=true needs ages above 0; the smallest is {numbers[AGE].min()}.")
        return numbers.assign(**{AGE: np.log(numbers[AGE].astype(float))})


def name_columns(sheet: Sheet) -> Sheet:
    """Return a copy of the concrete data with its nine columns named as in `TITLES`; another table as it is."""
    found = {
        name: [title for title in sheet.names if re.search(pattern, simplify(title))]
        for name, pattern in TITLES.items()
    }
    titles = [title for alike in found.values() for title in alike]
    if any(len(alike) != 1 for alike in found.values()) or len(set(titles)) != len(TITLES):
        return sheet
    pairs = (f"{title!r} for {name}" for name, title in zip(TITLES, titles, strict=True) if name != title)
    notes = ["read as a copy of the concrete data, with " + ", ".join(pairs)]
    left_out = [title for title in sheet.names if title not in titles]
    notes += [f"left out beside its nine columns: {', '.join(left_out)}"] if left_out else []
    raw, numbers = (frame[titles].set_axis([*TITLES], axis=1) for frame in (sheet.raw, sheet.numbers))
    return replace(sheet, raw=raw, numbers=numbers, notes=(*sheet.notes, *notes))
