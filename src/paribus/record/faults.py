"""Check that the content of a summary is of the kinds that a run writes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from paribus.record.schema import WRITTEN_STATUSES

Check = Callable[[Any], str | None]  # returns the path of what is wrong and its value; None where all is in order


def _leaf(*kinds: type) -> Check:
    """Check a value; null is allowed."""

    def check(value: Any) -> str | None:
        wrong = (isinstance(value, bool) and bool not in kinds) or not isinstance(value, kinds)
        return f" is {value!r}" if value is not None and wrong else None

    return check


def _mapping(each: Check | None = None, needed: Sequence[str] = (), **keys: Check) -> Check:
    """Check a mapping: all its values by `each`, those of `keys` by their own check; it may not lack those `needed`."""

    def check(value: Any) -> str | None:
        if not isinstance(value, Mapping):
            return f" is {value!r}"
        if lacking := [key for key in needed if key not in value]:
            return f" lacks {lacking[0]}"
        for key, content in value.items():
            own = keys.get(key, each)
            if own is not None and (fault := own(content)):
                return f".{key}{fault}"
        return None

    return check


def _list(each: Check | None = None) -> Check:
    def check(value: Any) -> str | None:
        if not isinstance(value, list):
            return f" is {value!r}"
        faults = [] if each is None else [f"[{i}]{fault}" for i, one in enumerate(value) if (fault := each(one))]
        return faults[0] if faults else None

    return check


def _required(check: Check) -> Check:
    """Check a value that may be neither null nor empty."""
    return lambda value: check(value) if value else f" is {value!r}"


TEXT, FLAG, WHOLE, NUMBER = _leaf(str), _leaf(bool), _leaf(int), _leaf(int, float)
NAME = _required(TEXT)
NAMES = _list(NAME)
FINDING = _mapping(
    finding=NAME, layers=NAMES, epoch=WHOLE, step=WHOLE, threshold=NUMBER, remedy=TEXT,
    evidence=_mapping(needed=["text"], text=TEXT, value=NUMBER),
)  # fmt: skip
# What a run writes, where it is there. A part that is null is damaged: a run leaves out what it does not have.
PARTS: dict[str, Check] = {
    **dict.fromkeys(("command", "message", "identity", "device", "study", "started"), TEXT),
    **dict.fromkeys(("seed", "processes", "threads", "stacked"), WHOLE),
    "paused": FLAG,
    "overrides": NAMES,
    "choices": _required(_mapping(NAME)),
    "set": _mapping(),
    "config": _mapping(),
    "seeds": _mapping(WHOLE),
    "versions": _mapping(TEXT),
    "git": _mapping(commit=TEXT, dirty=FLAG, patch=TEXT, left_out=NAMES),
    "data": _mapping(sha256=TEXT, train=WHOLE, val=WHOLE, test=WHOLE),
    "metric": _mapping(name=NAME, direction=NAME),
    "statistics": _mapping(NUMBER),
    "instruments": _mapping(columns=NAMES, share=NUMBER, seconds=_mapping(NUMBER)),
    "test": _mapping(),
    "taken_up": _list(WHOLE),
    "engine_changes": _list(_mapping()),
    "stopped": _mapping(epoch=WHOLE, by=NAME),
    "diverged": _mapping(epoch=WHOLE, step=WHOLE),
    "diagnosis": _list(FINDING),
    "undiagnosed": NAMES,
}


def find_fault(summary: Mapping[str, Any]) -> str | None:
    """Say which part of a summary is of another kind than a run writes; None where all are in order."""
    if summary.get("status") not in WRITTEN_STATUSES:
        return f"status is {summary.get('status')!r}"
    for key, check in PARTS.items():
        if key in summary and (fault := check(summary[key])):
            return f"{key}{fault}"
    fault = find_config_fault(summary.get("config", {}))
    return f"config.{fault}" if fault else None


def find_config_fault(config: Mapping[str, Any]) -> str | None:
    """Say which part of a resolved configuration is of another kind than a run writes; None where all are in order."""
    for key in ("model", "data", "activation", "optim", "scheduler", "trainer", "callbacks", "logger"):
        if key in config and not isinstance(config[key], Mapping):
            return f"{key} is {config[key]!r}"
    return None
