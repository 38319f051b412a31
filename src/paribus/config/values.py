"""Check the types of a configuration's values, by the values in the options' files and the annotations of classes.

Values are plain: what a constructor gets after Hydra has read it.
"""

import inspect
import math
import types
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import PurePath
from typing import Any, Literal, Union, get_args, get_origin

from paribus.config.ranges import RANGES
from paribus.errors import UserError

FindSignature = Callable[[Mapping[str, Any], str], inspect.Signature | None]
# Examples such as weight_decay: 0 in these groups stand for any number.
REAL_GROUPS = ("optim.", "scheduler.", "activation.", "default_lr.")
MISSING = "???"  # OmegaConf's word for a value that has to be given


def check_values(
    node: Mapping[str, Any], base: Mapping[str, Any], path: str, find_signature: FindSignature, known: bool = False
) -> None:
    """Raise UserError for a value of another type than in `base`, or, where that is null, than its annotation.

    A word may also be null where its annotation says so: optim.line_search_fn=null is L-BFGS without a search.
    The trainer's values are checked by Lightning's annotations alone, which allow more types than the file shows.
    `known` means that the values of `base` are good ones: a class is then imported only for a value that is another
    one and has no range.
    """
    known = known and node.get("_target_") == base.get("_target_")
    look = cache(lambda: find_signature(node, path))
    if not known:
        look()
    for key, value in node.items():
        full, example = f"{path}{key}", base.get(key)
        if key == "_target_":
            continue
        if value == MISSING:
            raise UserError(f"{full} has no value yet. Give it one: {full}=VALUE.")
        if isinstance(value, Mapping) and (isinstance(example, Mapping) or key not in base):
            check_values(value, example or {}, f"{full}.", find_signature, known)
        elif value is None and isinstance(example, str) and _may_be_null(look(), str(key)):
            continue
        elif example is not None and path != "trainer.":
            _check_example(full, value, example)
        elif known and key in base and (_is_alike(value, example) or (value is not None and full in RANGES)):
            continue
        elif value is not None or path == "trainer.":
            annotation = _find_annotation(look(), str(key))
            if not fits(value, annotation) and (value is None or full not in RANGES):  # whose message says more
                raise UserError(f"{full} is {value!r}; it must be {_join(_describe(annotation))}.")


def _is_alike(value: Any, example: Any) -> bool:
    """Return whether a value is the example, or a whole number as that is."""
    return type(value) is type(example) and (value == example or type(value) is int)


def _may_be_null(signature: inspect.Signature | None, key: str) -> bool:
    """Return whether the annotation of an argument names None."""
    return types.NoneType in get_args(_find_annotation(signature, key))


def _find_annotation(signature: inspect.Signature | None, key: str) -> Any:
    """Return the annotation of an argument; `object`, which fits everything, where there is no such argument."""
    return signature.parameters[key].annotation if signature is not None and key in signature.parameters else object


def _check_example(key: str, value: Any, example: Any) -> None:
    """Raise UserError for a value of another type than the example."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if isinstance(example, Mapping):
        good, kind = False, f"several values by name. ~{key} leaves it out"
    elif isinstance(example, bool):
        good, kind = isinstance(value, bool), "true or false"
    elif isinstance(example, int) and not key.startswith(REAL_GROUPS):
        good, kind = number and isinstance(value, int), "a whole number"
    elif isinstance(example, int | float):
        good, kind = number, "a number"
    elif isinstance(example, list):
        numbers = all(isinstance(x, int | float) for x in example)
        same = isinstance(value, list) and (not numbers or all(isinstance(x, int | float) for x in value))
        good, kind = same, f"a list{' of numbers' * (numbers and bool(example))}, such as {example}"
    else:
        good, kind = isinstance(value, str), f"a word, such as {example}"
    if not good:
        raise UserError(f"{key} is {value!r}; it must be {kind}.")


def fits(value: Any, annotation: Any) -> bool:
    """Return whether a value of a YAML can stand where `annotation` is asked for; True where nobody can tell."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return any(fits(value, kind) for kind in arguments)
    if origin is Literal:
        return any(type(value) is type(word) and value == word for word in arguments)
    kind = origin or annotation
    if kind in (None, types.NoneType):
        return value is None
    if not isinstance(kind, type) or kind is object:
        return True
    if kind is bool:
        return isinstance(value, bool)
    if kind in (int, float):
        return isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
    if kind is str or issubclass(kind, PurePath):
        return isinstance(value, str)
    if issubclass(kind, Mapping):
        return isinstance(value, Mapping)
    if issubclass(kind, Iterable) and issubclass(list, kind):
        return isinstance(value, list) and (len(arguments) != 1 or all(fits(x, arguments[0]) for x in value))
    if kind is tuple:
        return isinstance(value, list)  # their number and values are for a range to tell
    if kind.__module__.split(".")[0] in ("torch", "lightning"):
        return isinstance(value, Mapping) and "_target_" in value
    return isinstance(value, Mapping | str)  # an Enum, say, whose class reads its own words


def _describe(annotation: Any) -> list[str]:
    """Describe each kind of value that fits an annotation."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return [text for kind in arguments for text in _describe(kind)]
    if origin is Literal:
        return list(map(str, arguments))
    kind = origin or annotation
    names = {None: "null", types.NoneType: "null", bool: "true or false", int: "a whole number", float: "a number",
             str: "a text", list: "a list", dict: "a mapping"}  # fmt: skip
    if kind in names:
        return [names[kind]]
    if isinstance(kind, type) and kind is not object and issubclass(list, kind):
        return ["a list"]
    return ["a path"] if isinstance(kind, type) and issubclass(kind, PurePath) else ["an object with a _target_"]


def _join(texts: list[str]) -> str:
    *others, last = dict.fromkeys(texts)
    return f"{', '.join(others)} or {last}" if others else last
