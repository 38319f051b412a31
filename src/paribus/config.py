"""What a composed configuration says: which choices, which values beyond them, and whether it can be right.

Imports no torch; only `check` may load the classes that an added key belongs to.
"""

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from paribus.errors import UserError, unknown
from paribus.record import experimental, flatten

OPEN_NODES = ("callbacks", "logger")  # any number of entries, each with a _target_
INJECTED = ("self", "params", "optimizer", "in_shape", "out_features", "activation", "save_dir", "callbacks", "logger")


@dataclass(frozen=True)
class Choices:
    """How a configuration came about.

    Attributes:
        options: the option of each group, {"optim": "adam", ...}; "experiment" among them where one was chosen.
        given: values beyond what the options bring, from an experiment or the command line, by dotted key.
    """

    options: dict[str, str]
    given: dict[str, Any]


def choices(config: DictConfig) -> Choices:
    """The choices behind the configuration of the Hydra job that is running, checked.

    Raises UserError for a key that nothing reads, a value of another type than the option's own, or width and depth
    beside hidden.
    """
    hydra = HydraConfig.get()
    options = {
        str(group): str(option)
        for group, option in hydra.runtime.choices.items()
        if not group.startswith("hydra/") and option is not None
    }
    base = GlobalHydra.instance().config_loader().load_configuration(
        config_name=str(hydra.job.config_name),
        overrides=[f"{group}={option}" for group, option in options.items() if group != "experiment"],
        run_mode=RunMode.RUN,
    )  # fmt: skip
    OmegaConf.set_struct(base, False)
    base.pop("hydra")
    _check_keys(_plain(config), _plain(base), "")
    resolved = flatten(resolve(config))
    brought = flatten(resolve(base))
    for key, value in resolved.items():
        _check_type(key, value, brought.get(key))
    # Unresolved values are compared: what follows from another value is not set, whatever it comes to.
    raw, raw_base = flatten(experimental(_plain(config))), flatten(_plain(base))
    given = {
        key: resolved[key]
        for key, value in raw.items()
        if key != "seed" and (key not in raw_base or raw_base[key] != value)
    }
    if resolved.get("model.width") is not None or resolved.get("model.depth") is not None:
        if "model.hidden" in given:
            raise UserError("model.hidden and model.width with model.depth say the same thing twice; give one of them.")
        if resolved["model.width"] is None or resolved["model.depth"] is None:
            raise UserError("model.width and model.depth are given together, or not at all.")
    return Choices(options, given)


def resolve(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain values, without Hydra's part; where a model has width and depth, hidden follows."""
    plain = {key: value for key, value in _plain(config, resolve=True).items() if key != "hydra"}
    model = plain["model"]
    if model.get("width") is not None and model.get("depth") is not None:
        model["hidden"] = [model["width"]] * model["depth"]
    return plain


def _plain(config: DictConfig, resolve: bool = False) -> dict[str, Any]:
    plain = OmegaConf.to_container(config, resolve=resolve)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _check_keys(node: Mapping[str, Any], base: Mapping[str, Any], path: str) -> None:
    """Refuse what was added to `base` (with + or in an experiment) and no constructor takes."""
    accepted = _arguments(node)
    where = path.rstrip(".")
    for key, value in node.items():
        if key in base:
            if isinstance(value, Mapping) and isinstance(base[key], Mapping):
                _check_keys(value, base[key], f"{path}{key}.")
            continue
        argument = accepted is not None and ("**" in accepted or key in accepted or str(key).startswith("_"))
        entry = where in OPEN_NODES and isinstance(value, Mapping) and "_target_" in value
        if not (argument or entry):
            valid = sorted({*map(str, base), *(accepted or ())} - {"_target_", "hydra"})
            raise unknown(key, where or "the configuration", valid)


def _arguments(node: Mapping[str, Any]) -> set[str] | None:
    """The arguments that a node's _target_ takes from a configuration, "**" for any; None without a _target_."""
    target = node.get("_target_")
    if target is None:
        return None
    parameters = inspect.signature(get_object(str(target))).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return {"**"}
    return {p.name for p in parameters} - set(INJECTED)


def _check_type(key: str, value: Any, brought: Any) -> None:
    """Refuse a value that is not of the type that the option brings."""
    if value is None or brought is None:
        return
    if isinstance(brought, bool):
        good, kind = isinstance(value, bool), "true or false"
    elif isinstance(brought, int | float):
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        whole = isinstance(brought, float) or (number and float(value).is_integer())
        good, kind = number and whole, "a number" if isinstance(brought, float) else "a whole number"
    elif isinstance(brought, list):
        good, kind = isinstance(value, list), f"a list, such as {brought}"
    else:
        return
    if not good:
        raise UserError(f"{key} is {value!r}; it must be {kind}.")
