"""Search spaces: the values that a search may give to a key, as places between 0 and 1."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from paribus.config.ranges import RANGES, Range
from paribus.errors import UserError, unknown_name
from paribus.record import EXECUTION_KEYS, PROCESS_KEYS

FORMS = (
    "{around: 30}, {low: 0, high: 1}, {low: 1e-5, high: 1, log: true}, {low: 1, high: 9, step: 2}, {choices: [a, b]}"
)
UNTUNED = (*EXECUTION_KEYS, *PROCESS_KEYS, "hydra")
KEYS = ("around", "low", "high", "log", "step", "choices")
WIDER = 1 / 3  # by how much of itself a range is widened


@dataclass(frozen=True)
class Dimension:
    """The values that a search may give to a key.

    Attributes:
        choices: the values, for one of a few; the other attributes are those of a range.
        around: the range is from the default divided by `around` to the default times `around`.
        step: the distance of the values, counted from `low`; None: any value.
    """

    key: str
    choices: tuple[Any, ...] = ()
    around: float | None = None
    low: float = math.nan
    high: float = math.nan
    log: bool = False
    step: float | None = None

    def near(self, default: Any) -> "Dimension":
        """Return the dimension with its range around a default. Raises UserError where that is no positive number."""
        if self.around is None:
            return self
        if isinstance(default, bool) or not isinstance(default, int | float) or not 0 < default < math.inf:
            raise UserError(
                f"tune.space has {self.key}: {{around: {self.around:g}}}, but its default is {default!r}. Give its "
                "range: {low: 1e-5, high: 0.1, log: true}."
            )
        return replace(self, around=None, low=default / self.around, high=default * self.around, log=True)

    def pick(self, place: float) -> Any:
        """Return the value at a place: 0 is the low end, 1 the high end, and beyond lies what a wider range adds."""
        if self.choices:
            return self.choices[self.find_choice(place)]
        if self.step is not None:
            count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
            value = self.low + self.step * min(int(place * count), count - 1)
            whole = float(self.low).is_integer() and float(self.step).is_integer()
            return int(value) if whole else float(f"{value:.10g}")
        if self.log:
            return float(f"{self.low * (self.high / self.low) ** place:.4g}")
        return float(f"{self.low + (self.high - self.low) * place:.4g}")

    def find_choice(self, place: float) -> int:
        """Return the number of the choice at a place."""
        return min(int(place * len(self.choices)), len(self.choices) - 1)

    def allows(self, place: float) -> bool:
        """Return whether the value at a place, which may lie beyond the range, is one that the key can have."""
        return RANGES.get(self.key, Range()).contains(self.pick(place))


def read_space(space: Any, trials: int) -> list[Dimension]:
    """Read a search space: by key, its values. Raises UserError for one that is none, or has an empty range."""
    if not isinstance(space, Mapping) or not space:
        raise UserError(f"tune.space is {space!r}; it names keys and their values: {{optim.lr: {{around: 30}}}}.")
    dimensions = [_read_dimension(str(key), node) for key, node in space.items()]
    for dimension in dimensions:
        if len(dimension.choices) > trials:
            raise UserError(
                f"tune.trials={trials} is fewer than the {len(dimension.choices)} choices of {dimension.key}. Choose "
                "more trials, or fewer choices."
            )
    return dimensions


def _read_dimension(key: str, node: Any) -> Dimension:
    where = f"tune.space.{key}"
    if not isinstance(node, Mapping):
        raise UserError(f"{where} is {node!r}; it must be one of {FORMS}.")
    for name in node:
        if name not in KEYS:
            raise unknown_name(name, where, KEYS)
    given = {name: value for name, value in node.items() if value is not None}
    if key in ("seed", "data.seed") or key.startswith("seeds."):
        raise UserError(f"{where}: a seed is not tuned. Give the search its seeds by seed=1,2,3.")
    if any(key == name or key.startswith(f"{name}.") for name in UNTUNED):
        raise UserError(f"{where}: this key changes how a run is executed, and not what it is. Leave it out.")
    if set(given) == {"choices"}:
        if not isinstance(given["choices"], list) or len(given["choices"]) < 2:
            raise UserError(f"{where}.choices is {given['choices']!r}; it must be a list of two values or more.")
        return Dimension(key, choices=tuple(given["choices"]))
    for name in ("around", "low", "high", "step"):
        value = given.get(name)
        if name in given and (
            isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value)
        ):
            raise UserError(f"{where}.{name} is {value!r}; it must be a number.")
    if set(given) == {"around"}:
        if given["around"] <= 1:
            raise UserError(f"{where}.around is {given['around']:g}; it must be above 1, or the range is empty.")
        return Dimension(key, around=float(given["around"]))
    if not {"low", "high"} <= set(given) or {"around", "choices"} & set(given):
        raise UserError(f"{where} is {dict(node)}; it must be one of {FORMS}.")
    log, step = given.get("log", False), given.get("step")
    if log not in (True, False):
        raise UserError(f"{where}.log is {log!r}; it must be true or false.")
    low, high = given["low"], given["high"]
    if low >= high:
        raise UserError(f"{where}: its range is empty, since low is {low:g} and high {high:g}.")
    if log and low <= 0:
        raise UserError(f"{where}.low is {low:g}; a range on a log scale begins above 0.")
    if step is not None and (step <= 0 or step > high - low or log):
        raise UserError(f"{where}.step is {step:g}; it must lie between 0 and high - low, on a linear scale.")
    return Dimension(key, low=low, high=high, log=log, step=step)
