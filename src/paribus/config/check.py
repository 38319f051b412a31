"""Check a composed configuration, and read its choices and the values set beyond them.

Does not import torch; `read_choices` imports the classes that the configuration names, to inspect their signatures.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType
from typing import Any, get_args

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.utils import get_object
from omegaconf import DictConfig

from paribus.config.compose import Composer, get_chosen_options, to_resolved, to_unresolved
from paribus.config.ranges import check_ranges
from paribus.config.suggestions import suggest_key
from paribus.errors import UserError, unknown_name
from paribus.record import PROCESS_KEYS, flatten, parse_metric, select_experimental, use_current_targets

OPEN_NODES = ("callbacks", "logger")  # nodes with any number of entries, each with a _target_
REQUIRED = ("model", "data", "activation", "optim", "scheduler", "trainer")
# Arguments that the run passes to constructors, so that a configuration must not.
INJECTED = (
    *("in_shape", "out_features", "activation", "params", "optimizer", "save_dir", "callbacks", "logger"),
    *("default_root_dir", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"),
    *("num_sanity_val_steps", "self"),
)


@dataclass(frozen=True)
class Choices:
    """The choices behind a configuration.

    Attributes:
        options: the option of each group, {"optim": "adam", ...}, including "experiment" where one was chosen.
        given: the values set by an experiment or the command line, by dotted key.
        config: the resolved configuration.
    """

    options: dict[str, str]
    given: dict[str, Any]
    config: dict[str, Any]


def read_job_choices(config: DictConfig) -> Choices:
    """Read and check the choices of the running Hydra job's configuration; see `read_choices`."""
    hydra = HydraConfig.get()
    searchpath = [text for text in hydra.overrides.hydra if str(text).startswith("hydra.searchpath=")]
    composer = Composer(GlobalHydra.instance().config_loader(), str(hydra.job.config_name), searchpath)
    return read_choices(config, hydra.runtime.choices, composer)


def read_choices(config: DictConfig, chosen: Mapping[str, Any], composer: Composer) -> Choices:
    """Read and check the choices of `config`, which was composed with the options `chosen` by group.

    Raises UserError for an unused key, a value of another type than in the option's file, or width and depth together
    with hidden.
    """
    options = get_chosen_options(chosen)
    for group in REQUIRED:
        if group not in options:
            raise UserError(
                f"{group} needs one option: {group}=NAME. To try several, add --multirun: {group}=NAME,NAME."
            )
    raw = use_current_targets(to_unresolved(config))
    without_experiment = {group: option for group, option in options.items() if group != "experiment"}
    raw_base, base = composer.compose_options(without_experiment)
    _check_keys(raw, raw_base, "")
    plain = use_current_targets(to_resolved(config))
    if isinstance(plain["seed"], list):
        listed = ",".join(map(str, plain["seed"]))
        raise UserError(f"seed is {plain['seed']}; for a run each, write --multirun seed={listed}.")
    _check_values(plain, base, "")
    check_ranges(plain)
    if plain.get("metric") is not None:
        parse_metric(plain["metric"])
    resolved = flatten(plain)
    # Unresolved values are compared: an interpolated value counts as not set, whatever it resolves to.
    tables = {key: raw[key] for key in ("default_lr", "default_epochs") if key in raw}
    experimental, defaults = flatten(select_experimental(raw) | tables), flatten(raw_base)
    given = {
        key: resolved[key]
        for key, value in experimental.items()
        if key not in ("seed", *PROCESS_KEYS) and (key not in defaults or defaults[key] != value)
    }
    if resolved.get("model.width") is not None or resolved.get("model.depth") is not None:
        if "model.hidden" in given:
            raise UserError("model.hidden excludes model.width and model.depth. Set either hidden, or width and depth.")
        if resolved["model.width"] is None or resolved["model.depth"] is None:
            raise UserError("model.width and model.depth must be set together. Set both or neither.")
    return Choices(options, given, plain)


def _check_keys(node: Mapping[str, Any], base: Mapping[str, Any], path: str) -> None:
    """Raise UserError for keys added to `base` that no constructor accepts, and for keys removed from it."""
    accepted = _find_arguments(node, path)
    node_path = path.rstrip(".")
    for key in base:
        if key not in node and node_path not in OPEN_NODES:
            raise UserError(f"{path}{key} is missing from the configuration. Set it instead of removing it.")
    for key, value in node.items():
        if key in base:
            if isinstance(value, Mapping) and isinstance(base[key], Mapping):
                _check_keys(value, base[key], f"{path}{key}.")
            continue
        argument = accepted is not None and ("**" in accepted or key in accepted or str(key).startswith("_"))
        entry = node_path in OPEN_NODES and isinstance(value, Mapping) and "_target_" in value
        if not (argument or entry):
            valid = sorted({*map(str, base), *(accepted or ())} - {"_target_", "hydra"})
            hint = "" if node_path else suggest_key(str(key), flatten(base))
            if hint:
                raise UserError(f"There is no {str(key)!r} in the configuration. {hint}")
            raise unknown_name(key, node_path or "the configuration", valid)


def _find_signature(node: Mapping[str, Any], path: str) -> inspect.Signature | None:
    """Return the signature of a node's _target_, or None without a _target_."""
    target = node.get("_target_")
    if target is None:
        return None
    try:
        return _inspect_signature(get_object(str(target)))
    except (HydraException, ImportError, AttributeError) as error:
        raise UserError(f"{path}_target_: {str(error.__cause__ or error).splitlines()[0]}") from None


@cache
def _inspect_signature(constructor: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of a constructor, with evaluated annotations where possible."""
    try:
        return inspect.signature(constructor, eval_str=True)
    except (NameError, TypeError):  # an annotation that cannot be evaluated here
        return inspect.signature(constructor)


def _find_arguments(node: Mapping[str, Any], path: str) -> set[str] | None:
    """Return the arguments that a node's _target_ accepts, "**" for any; None without a _target_."""
    signature = _find_signature(node, path)
    if signature is None:
        return None
    if any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
        return {"**"}
    return set(signature.parameters) - set(INJECTED)


def _check_values(node: Mapping[str, Any], base: Mapping[str, Any], path: str) -> None:
    """Raise UserError for a value of another type than in `base`, or, where that is null, than its annotation.

    The trainer's values are left to Lightning, which accepts more types than the option's file shows.
    """
    signature = None if path == "trainer." else _find_signature(node, path)
    for key, value in node.items():
        full, example = f"{path}{key}", base.get(key)
        if isinstance(value, Mapping):
            _check_values(value, example if isinstance(example, Mapping) else {}, f"{full}.")
        elif path == "trainer." or key == "_target_":
            continue
        elif example is not None:
            _check_example(full, value, example)
        elif value is not None and signature is not None and key in signature.parameters:
            _check_annotation(full, value, signature.parameters[key].annotation)


def _check_example(key: str, value: Any, example: Any) -> None:
    """Raise UserError for a value of another type than the example."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if isinstance(example, bool):
        good, kind = isinstance(value, bool), "true or false"
    elif isinstance(example, int) and not key.startswith(("optim.", "scheduler.", "activation.", "default_lr.")):
        good, kind = number and isinstance(value, int), "a whole number"
    elif isinstance(example, int | float):
        good, kind = number, "a number"
    elif isinstance(example, list):
        numbers = all(isinstance(x, int | float) for x in example)
        same = isinstance(value, list) and (not numbers or all(isinstance(x, int | float) for x in value))
        good, kind = same, f"a list, such as {example}"
    else:
        good, kind = isinstance(value, str), f"a word, such as {example}"
    if not good:
        raise UserError(f"{key} is {value!r}; it must be {kind}.")


_TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def _check_annotation(key: str, value: Any, annotation: Any) -> None:
    """Raise UserError for a value of another type than the annotation."""
    kinds = [kind for kind in get_args(annotation) or (annotation,) if kind is not NoneType]
    if not kinds or not all(kind in _TYPE_NAMES for kind in kinds):
        return
    fits = type(value) in kinds or (type(value) is int and float in kinds)
    if not fits:
        raise UserError(f"{key} is {value!r}; it must be {' or '.join(_TYPE_NAMES[kind] for kind in kinds)}.")
