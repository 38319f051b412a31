"""The plan of a study whose seeds are added in looks until it is decided, and what its looks found: until.json."""

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from paribus.record.files import RecordError, read_text, write_json
from paribus.record.schema import UNTIL

VERSION = 1  # of the file


@dataclass(frozen=True)
class TakenLook:
    """A look that has been taken.

    Attributes:
        seeds: how many seeds there were.
        metric: the figure by which it was judged.
        undecided: the pairs of levels that it left undecided, in words.
        stopped: the settings that got no further seeds from then on, as in `UntilPlan.settings`.
    """

    seeds: int
    metric: str
    undecided: tuple[str, ...]
    stopped: tuple[str, ...]


@dataclass(frozen=True)
class UntilPlan:
    """The plan that was fixed before the first run, and the looks since.

    Attributes:
        seeds: all seeds, in the order in which they are added.
        looks: how many of them there are at each look, increasing; the last look has all.
        factor: by which repeated p values are multiplied; see multirun_analysis/compare/sequential.py.
        margin: differences up to it count as none, as it was typed.
        confirm: whether its runs are a confirmation, beside others in the same directory.
        settings: the overrides of each setting, without its seed.
        taken: the looks so far.
    """

    seeds: tuple[int, ...]
    looks: tuple[int, ...]
    factor: float
    margin: str | None
    confirm: bool
    settings: tuple[str, ...]
    taken: tuple[TakenLook, ...] = ()

    @property
    def stopped(self) -> set[str]:
        """The settings that get no further seeds."""
        return {setting for look in self.taken for setting in look.stopped}

    @property
    def ended(self) -> bool:
        """Return whether there is no further look: all is decided, or all seeds are there."""
        return len(self.taken) == len(self.looks) or self.stopped >= set(self.settings)

    def take(self, look: TakenLook) -> "UntilPlan":
        """Return the plan with one more look."""
        return replace(self, taken=(*self.taken, look))


@dataclass(frozen=True)
class Judgement:
    """The findings of a look.

    Attributes:
        metric: the figure by which it was judged.
        undecided: the pairs of levels that are undecided, in words.
        going_on: the directories of the runs whose settings get more seeds.
    """

    metric: str
    undecided: list[str]
    going_on: set[Path]


def write_plan(directory: Path, plan: UntilPlan) -> None:
    """Write the plan of the study in `directory`, atomically."""
    write_json(directory / UNTIL, {"version": VERSION, **asdict(plan)})


def read_plan(directory: Path) -> UntilPlan | None:
    """Read the plan of the study in `directory`; None where there is none.

    Raises RecordError for a file that cannot be read, or that another version wrote: without its bounds the study
    cannot be judged.
    """
    path = directory / UNTIL
    if not path.exists():
        return None
    try:
        found = json.loads(read_text(path))
        if found["version"] != VERSION:
            raise RecordError(f"{path} has version {found['version']}, this Paribus reads {VERSION}. Use a newer one.")
        plan = _read(found)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path) from error
    growing = all(a < b for a, b in zip(plan.looks, plan.looks[1:], strict=False))
    if not (plan.looks and growing and plan.looks[-1] == len(plan.seeds) and math.isfinite(plan.factor)):
        raise _damaged(path)
    if [look.seeds for look in plan.taken] != list(plan.looks[: len(plan.taken)]):
        raise _damaged(path)
    return plan


def _read(found: dict[str, Any]) -> UntilPlan:
    taken = tuple(
        TakenLook(int(t["seeds"]), str(t["metric"]), tuple(t["undecided"]), tuple(t["stopped"])) for t in found["taken"]
    )
    seeds, looks = tuple(map(int, found["seeds"])), tuple(map(int, found["looks"]))
    margin = found["margin"]
    return UntilPlan(
        seeds, looks, float(found["factor"]), None if margin is None else str(margin), bool(found["confirm"]),
        tuple(map(str, found["settings"])), taken,
    )  # fmt: skip


def _damaged(path: Path) -> RecordError:
    return RecordError(f"{path} is damaged: the bounds of this study are not known. Restore it from a copy.")
