"""Explain errors of Hydra, OmegaConf and the file system to the user."""

import errno
import re
from typing import Any

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from paribus.config.suggestions import suggest_key
from paribus.errors import unknown_name
from paribus.installation import find_config_directory
from paribus.record import flatten

_UNWRITABLE = "Write elsewhere: hydra.run.dir=DIR for a run, hydra.sweep.dir=DIR for a study, data.root=DIR for data."
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
            return str(unknown_name(option, group or "conf", options))
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(cause, InterpolationKeyError) and cause.full_key and cause.msg:
        return f"{cause.full_key}: {str(cause.msg).splitlines()[0]}. Give {cause.full_key} a value, or define that key."
    if isinstance(cause, MissingMandatoryValue) and cause.full_key:
        return f"{cause.full_key} has no value yet. Give it one: {cause.full_key}=VALUE."
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.parent_node is not None:
        path, _, key = str(cause.full_key).rpartition(".")
        valid = [name for name in cause.parent_node if name not in ("_target_", "hydra")]
        hint = suggest_key(str(cause.full_key), _list_keys(cause.parent_node))
        if hint:
            return f"There is no {str(cause.full_key)!r} in the configuration. {hint}"
        return str(unknown_name(key, path or "the configuration", valid))
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} is not of the form key=value: {error}."
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
        return (
            f"{key}={values} lists several values: add --multirun for a run each, or write a list as {key}=[{values}]."
        )
    text = re.sub(r"\n(See https?:\S+.*|\s*full_key:.*|\s*object_type=.*)", "", str(error))
    return " ".join([text.strip() or type(error).__name__, *getattr(error, "__notes__", ())])


def _list_keys(config: Any) -> list[str]:
    """List the dotted keys of a configuration, without Hydra's own."""
    plain: Any = OmegaConf.to_container(config, resolve=False)
    return list(flatten({key: value for key, value in plain.items() if key != "hydra"}))
