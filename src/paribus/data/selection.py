"""Choose the columns and rows of a table that are used, and say what was left out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from paribus.data.problems import count_by_column, find_problems, write_list
from paribus.data.sheet import Sheet
from paribus.errors import UserError, unknown_name

MISSING_POLICIES = ("refuse", "drop", "fill")
FEWEST_ROWS = 3  # one for each part


@dataclass(frozen=True)
class Selection:
    """A choice of columns and rows: the values of data.drop, data.missing and data.categorical.

    Attributes:
        prefix: what is typed before the keys that messages name.
    """

    drop: Sequence[str | int] | str | None
    missing: str
    categorical: Sequence[str | int] | str | None
    prefix: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.drop, str):
            raise UserError(f"data.drop is {self.drop!r}; it must be a list: {write_list('data.drop', [self.drop])}.")
        if self.missing not in MISSING_POLICIES:
            raise unknown_name(self.missing, "data.missing", MISSING_POLICIES)
        if self.categorical not in (None, "one_hot") and not isinstance(self.categorical, list | tuple):
            raise UserError(
                f"data.categorical is {self.categorical!r}; it must be one_hot, a list of columns, or null."
            )

    def find_encoded(self, sheet: Sheet, target: str) -> list[str]:
        """Return the titles of the columns that are encoded one-hot."""
        if isinstance(self.categorical, str):
            return [name for name in sheet.names if name != target and sheet.is_text(name)]
        return [sheet.find_column(name, "data.categorical") for name in self.categorical or ()]

    def select(self, sheet: Sheet, target: str, check_target: Callable[[Sheet], object]) -> Sheet:
        """Return the columns and rows that are used; its notes say what is left out and filled.

        Args:
            check_target: raises UserError where the target's cells cannot be used.

        Raises UserError with all that is wrong with the columns, and the keys that mend it.
        """
        dropped = self._find_dropped(sheet, target)
        used = sheet.select([name for name in sheet.names if name not in dropped])
        encoded = None if isinstance(self.categorical, str) else self.find_encoded(used, target)
        empty = pd.DataFrame({name: used.find_missing(name) for name in used.names})
        problems = find_problems(
            used, target, empty, self.missing, dropped=dropped, encoded=encoded, prefix=self.prefix
        )
        if problems.lines:
            if not empty[target].all():
                problems.check_target(lambda: check_target(used.select(used.names, ~empty[target])))
            raise UserError(problems.explain())
        left_out = empty.any(axis=1) if self.missing == "drop" else empty[target]
        notes = [f"data.drop leaves out {', '.join(dropped)}"] if dropped else []
        if self.missing == "drop" or left_out.any():
            notes.append(f"data.missing={self.missing} leaves out {left_out.sum():,} of {len(empty):,} rows "
                         f"(missing: {count_by_column(empty[left_out])})")  # fmt: skip
        if len(empty) - left_out.sum() < FEWEST_ROWS:
            raise UserError(f"{sheet.path}: {notes[-1]}, and at least {FEWEST_ROWS} must be left. Leave out the "
                            "columns that lack most with data.drop=[COLUMN], or fill in their cells.")  # fmt: skip
        if self.missing == "fill":
            filled = empty[~left_out]
            notes.append(f"data.missing=fill fills {filled.to_numpy().sum():,} cells in {filled.any(axis=1).sum():,} "
                         f"of {len(filled):,} rows (missing: {count_by_column(filled)})")  # fmt: skip
        return replace(used.select(used.names, ~left_out) if left_out.any() else used, notes=(*sheet.notes, *notes))

    def _find_dropped(self, sheet: Sheet, target: str) -> list[str]:
        """Return the titles in data.drop. Raises UserError for the target, and where no feature is left."""
        dropped = list(dict.fromkeys(sheet.find_column(name, "data.drop") for name in self.drop or ()))
        if target in dropped:
            raise UserError(f"data.drop names {target!r}, the column to predict. Take it out of data.drop, or choose "
                            "another data.target.")  # fmt: skip
        if len(sheet.names) - len(dropped) < 2:
            raise UserError(
                f"data.drop leaves no feature of {sheet.path}. Keep at least one column besides {target!r}."
            )
        if not isinstance(self.categorical, str):
            both = [name for name in self.find_encoded(sheet, target) if name in dropped]
            if both:
                raise UserError(
                    f"data.categorical names {both[0]!r}, which data.drop leaves out. Name it in one of them."
                )
        return dropped
