"""The hyperparameters of a run, as loggers show them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from paribus.record import flatten, select_experimental

EXECUTION = ("trainer", "callbacks", "logger", "experiment")  # groups that say how, not what


@dataclass(frozen=True)
class Hyperparameters:
    """The hyperparameters of a run: plain scalars by dotted key.

    Attributes:
        values: the choices, and all values of the experiment.
        chosen: the keys that somebody has chosen: the groups, values that were set, the learning rate and the seed.
    """

    values: Mapping[str, Any]
    chosen: Collection[str]

    @classmethod
    def collect(
        cls, options: Mapping[str, str], given: Collection[str], config: Mapping[str, Any]
    ) -> "Hyperparameters":
        """Collect them from a run's options by group, the keys that were set, and its resolved configuration.

        A value of None is left out: TensorBoard hides runs whose value is None where others have a number.
        """
        groups = {group: option for group, option in options.items() if group not in EXECUTION}
        flat = flatten(select_experimental(config))
        named = {key: value for key, value in flat.items() if not key.endswith("_target_") and key != "data.seed"}
        known = {key: value for key, value in {**groups, **named}.items() if value is not None}
        values = {key: x if isinstance(x, bool | int | float | str) else str(x) for key, x in known.items()}
        chosen = {*groups, *given, "optim.lr", "seed"}
        return cls(values, [key for key in values if key in chosen])

    def choose(self) -> dict[str, Any]:
        """Return the chosen ones by key."""
        return {key: self.values[key] for key in self.chosen}
