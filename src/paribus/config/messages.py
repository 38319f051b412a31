"""Explain errors of Hydra, OmegaConf and the file system to the user."""

import errno
import inspect
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pkgutil import resolve_name
from typing import Any

import yaml
from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationKeyError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from paribus.config.compose import OPEN_GROUPS
from paribus.config.grammar import explain_grammar
from paribus.config.ranges import RANGES
from paribus.config.suggestions import HINTS, index_groups, suggest_key
from paribus.errors import UserError, unknown_name
from paribus.installation import find_config_directory
from paribus.private_names import find_root
from paribus.record import flatten

GIVEN = ("in_shape", "out_features", "activation", "params", "optimizer")  # arguments that a class gets from the run
_UNWRITABLE = (
    "Write elsewhere (hydra.run.dir=DIR for a run, hydra.sweep.dir=DIR for a study, data.root=DIR for data), or make "
    "it writable."
)
_REMEDIES = {
    errno.ENOSPC: "Free some space and run again.",
    errno.EDQUOT: "Free some space and run again.",
    errno.EACCES: _UNWRITABLE,
    errno.EPERM: _UNWRITABLE,
    errno.EROFS: _UNWRITABLE,
    errno.ENOTDIR: _UNWRITABLE,
    errno.ENOENT: _UNWRITABLE,
    errno.EEXIST: _UNWRITABLE,
    errno.ENAMETOOLONG: "Choose a shorter name.",
}


def explain(error: BaseException) -> str:
    """Return the message for an error of a user, of Hydra or OmegaConf, or of the file system."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        # Hydra names no options where several were given in a list
        options = error.options or sorted(file.stem for file in (find_config_directory() / group).glob("*.yaml"))
        if options:
            return _explain_option(group, option, options)
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(cause, InterpolationKeyError) and cause.full_key and cause.msg:
        lacking = re.search(r"'default_lr\.(\w+)'", str(cause.msg))
        if lacking:
            return (
                f"The model's table default_lr has no rate for optim={lacking[1]}. Give one: {cause.full_key}=VALUE, "
                f"or default_lr.{lacking[1]} in the model's YAML."
            )
        return f"{cause.full_key}: {str(cause.msg).splitlines()[0]}. Give {cause.full_key} a value, or define that key."
    if isinstance(cause, InterpolationResolutionError) and cause.full_key and "Recursive" in str(cause.msg):
        return f"{cause.full_key} is interpolated from itself. Give it a value: {cause.full_key}=VALUE."
    if isinstance(cause, MissingMandatoryValue) and cause.full_key:
        return f"{cause.full_key} has no value yet. Give it one: {cause.full_key}=VALUE."
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.parent_node is not None:
        typed = re.search(r"Could not override '([^']+)'", str(error))
        return _explain_key(typed[1] if typed else str(cause.full_key), str(cause.full_key), cause.parent_node)
    if isinstance(error, OverrideParseException):
        return explain_grammar(str(error.override))
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}: this is not YAML: {error.problem}."
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}. {_REMEDIES.get(error.errno or 0, '')}".strip()
    if str(error).startswith("Could not override 'loss'"):
        return (
            "The model's YAML gives its loss as model.loss. To choose another one by loss=NAME, remove that line and "
            "add `- /loss@_global_.loss: NAME` to its defaults, before _self_."
        )
    ambiguous = re.match(r"Ambiguous value for argument '([^=]+)=(.*)'", str(error))
    if ambiguous:
        key, values = ambiguous.groups()
        one_value = key in RANGES and RANGES[key].length is None
        one_option = key in index_groups() and key not in OPEN_GROUPS
        as_list = "" if one_value or one_option else f", or write a list as {key}=[{values}]"
        point = ", or write one number with a decimal point" if re.fullmatch(r"-?\d+,\d+", values) else ""
        return f"{key}={values} lists several values: add --multirun for a run each{as_list}{point}."
    removed = re.search(r"Could not delete from config. '(\S+)' does not exist", str(error))
    if removed:
        return f"There is no {removed[1]!r} to remove. {suggest_key(removed[1], ())}".strip()
    text = re.sub(r"\n(See https?:\S+.*|\s*full_key:.*|\s*object_type=.*)", "", str(error))
    text = " ".join([text.strip() or type(error).__name__, *getattr(error, "__notes__", ())])
    if not isinstance(error, UserError):  # a library's, over several lines
        text = " ".join(line.strip() for line in text.splitlines())
    return re.sub(r"\S{500,}", lambda word: f"{word[0][:100]}...", text)  # somebody's value


def _explain_option(group: str, option: str, valid: Sequence[str]) -> str:
    """Say that a group has no such option, and what may be meant."""
    if group == "data" and re.search(r"[./\\]", option):
        return f"There is no {option!r} in data. A file of your own is named by data.path={option}."
    hint = HINTS.get(option.casefold(), "") if not get_close_matches(option, valid) else ""
    class_name = f" A class is named by {group}._target_={option}." if re.search(r"\w\.\w", option) else ""
    return (
        f"There is no {option!r} in {group}. {hint}"
        if hint
        else f"{unknown_name(option, group or 'conf', valid)}{class_name}"
    )


def _explain_key(typed: str, missing: str, node: Any) -> str:
    """Say that a configuration has no key `missing`, which `node` lacks, and what is meant by `typed`."""
    path, _, key = missing.rpartition(".")
    known = _list_keys(find_root(node))
    found = f"There is no {key!r} in {path or 'the configuration'}."
    if missing.startswith("tune.space."):
        return "A search space is a file of conf/tune/, or typed with a +: '+tune.space={optim.lr: {around: 30}}'."
    if path and key in _list_arguments(node):
        return f"{found} It can be added: +{missing}=VALUE."
    hint = suggest_key(typed, known)
    if hint:
        return f"{found} {hint}"
    valid = [x for x in node if x not in ("_target_", "hydra")]
    if not valid and (arguments := [x for x in _list_arguments(node) if x not in GIVEN]):
        listed = ", ".join(f"+{path}.{x}" for x in arguments)
        return f"{found} Its file names no keys; what its class takes can be added: {listed}."
    return str(unknown_name(key, path or "the configuration", valid))


def _list_arguments(node: Any) -> Sequence[str]:
    """List the arguments of the class that a node names; none where it cannot be found."""
    plain: Any = OmegaConf.to_container(node)
    try:
        return list(inspect.signature(resolve_name(str(plain["_target_"]))).parameters)
    except Exception:  # noqa: BLE001  it names no class, or importing it fails: that is for another message
        return []


def _list_keys(config: Any) -> list[str]:
    """List the dotted keys of a configuration, without Hydra's own."""
    plain: Any = OmegaConf.to_container(config, resolve=False)
    return list(flatten({key: value for key, value in plain.items() if key != "hydra"}))
