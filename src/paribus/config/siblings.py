"""Derive configurations that set the same keys to other values from one that was composed and resolved."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig

from paribus.config.compose import derive_hidden, resolve, to_unresolved
from paribus.record import PROCESS_KEYS, flatten

LITERAL = ("oc.env", "now")  # resolvers whose arguments are no keys
_INTERPOLATION = re.compile(r"\$\{([^${}]*)\}")
_KEY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def read_values(overrides: Sequence[Override]) -> dict[str, Any] | None:
    """Return the values of overrides by dotted key; None unless all set keys that are there to plain values."""
    values: dict[str, Any] = {}
    for override in overrides:
        key, value = override.key_or_group, override.value()
        listed = value if isinstance(value, list) else [value]
        plain = all(x is None or (type(x) in (bool, int, float, str) and "$" not in str(x)) for x in listed)
        if override.type is not OverrideType.CHANGE or not plain or not _KEY.fullmatch(key) or "_target_" in key:
            return None
        if any(_overlap(key, other) for other in values):  # the later one would win
            return None
        values[key] = value
    return values


@dataclass(frozen=True)
class Siblings:
    """Configurations that differ in the values of some keys.

    Attributes:
        raw: the unresolved values of one of them, by nested key.
        resolved: its resolved values, before those that are derived.
        copies: the dotted keys that have the value of each key that differs: the key, and those that are interpolations
            of it (data.seed: ${seed}).
    """

    raw: dict[str, Any]
    resolved: dict[str, Any]
    copies: dict[str, list[str]]

    def derive(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the unresolved and the resolved configuration with these values of the keys that differ.

        They share the nodes that do not differ: change none in place.
        """
        raw, resolved = self.raw, self.resolved
        for key, value in values.items():
            raw = _set(raw, key, value)
            for copy in self.copies[key]:
                resolved = _set(resolved, copy, value)
        return raw, derive_hidden(resolved)


def make_siblings(config: DictConfig, values: Mapping[str, Any]) -> Siblings | None:
    """Make the siblings of a composed configuration in which overrides have set `values`, by dotted key.

    Return None where another interpolation than a plain copy (${seed}) depends on one of the keys, or may do so.
    """
    raw = to_unresolved(config)
    flat = flatten(raw)
    if any(key not in flat or (isinstance(flat[key], str) and "$" in flat[key]) for key in values):
        return None
    interpolations = {key: text for key, text in _find_interpolations(flat) if key not in values}
    if not all(map(_is_understood, interpolations.values())):
        return None
    copies: dict[str, list[str]] = {key: [] for key in values}
    origin = {key: key for key in values}  # of each copy
    left = dict(interpolations)
    while found := {key: text for key, text in left.items() if _refers(text, origin)}:
        for key, text in found.items():
            copied = origin.get(text.removeprefix("${").removesuffix("}"))
            if copied is None or key not in flat or flat[key] != text:
                return None
            origin[key] = copied
            del left[key]
    for key, copied in origin.items():
        if key.partition(".")[0] not in PROCESS_KEYS:  # these are not resolved
            copies[copied].append(key)
    return Siblings(raw, resolve(config), copies)


def _find_interpolations(flat: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the keys and texts of interpolations, also within lists."""
    for key, value in flat.items():
        if isinstance(value, str) and "$" in value:
            yield key, value
        elif isinstance(value, list):
            yield from _find_interpolations(flatten({f"{key}[{i}]": item for i, item in enumerate(value)}))


def _refers(text: str, keys: Mapping[str, str]) -> bool:
    """Return whether the interpolations in a text may name one of the keys, a node above it, or one below."""
    inner = [each for each in _INTERPOLATION.findall(text) if each.partition(":")[0] not in LITERAL]
    return any(_overlap(word.group(), key) for each in inner for word in _KEY.finditer(each) for key in keys)


def _overlap(one: str, other: str) -> bool:
    """Return whether two dotted keys are the same, or one of them is within the other."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _is_understood(text: str) -> bool:
    """Return whether each interpolation in a text is of a key, or of a resolver that depends on its arguments alone."""
    inner = _INTERPOLATION.findall(text)
    if len(inner) != text.count("$"):  # nested or escaped ones
        return False
    keys = [each for each in inner if each.partition(":")[0] not in (*LITERAL, "oc.select")]
    return all(_KEY.fullmatch(each) and each.partition(".")[0] != "hydra" for each in keys)


def _set(node: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Return a copy of a nested mapping in which a dotted key has another value."""
    first, _, rest = key.partition(".")
    return {**node, first: _set(node[first], rest, value) if rest else value}
