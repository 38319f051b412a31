"""Check a composed configuration, and read its choices and the values set beyond them.

Imports classes that the configuration names, and torch with them, only where something has to be known of them that the
files of conf/ do not say: of the user's own classes, and of what the command line adds.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from paribus.config.compose import (
    OPEN_GROUPS,
    Composer,
    complete_choices,
    get_chosen_options,
    to_resolved,
    to_unresolved,
)
from paribus.config.ranges import check_ranges
from paribus.config.schedules import check_schedules
from paribus.config.suggestions import suggest_key
from paribus.config.targets import PACKAGES, find_callable
from paribus.config.values import check_values
from paribus.errors import UserError, unknown_name
from paribus.process import importing_torch
from paribus.record import (
    NAMED_LOSSES,
    PROCESS_KEYS,
    SOURCES,
    flatten,
    parse_metric,
    select_experimental,
    use_current_targets,
)

REQUIRED = ("model", "data", "activation", "optim", "scheduler", "trainer")
# Arguments that the run passes to constructors, so that a configuration must not.
INJECTED = (
    *("in_shape", "out_features", "activation", "params", "optimizer", "save_dir", "callbacks", "logger"),
    *("default_root_dir", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"),
    *("num_sanity_val_steps", "self"),
    *("reduction", "reduce", "size_average", "ignore_index"),  # of a loss
)


# Why an option of lightning.Trainer is none here, and what to use instead.
FIXED = {
    "trainer.num_sanity_val_steps": "the network is tried on two samples before each run anyway. Leave it out",
    "trainer.enable_progress_bar": (
        "callbacks=none shows no progress, and '+callbacks.bar={_target_: "
        "lightning.pytorch.callbacks.TQDMProgressBar}' a bar"
    ),
    "trainer.enable_model_summary": "the log has a table of the network. Leave it out",
    "trainer.enable_checkpointing": "resuming needs the two checkpoints of a run. Leave it out",
    "trainer.barebones": "it would leave out the record. For less of it, choose callbacks=none logger=none",
    "trainer.logger": "choose loggers with logger=NAME or logger=[NAME,NAME]",
    "trainer.callbacks": "add callbacks with '+callbacks.NAME={_target_: CLASS, ...}'",
    "trainer.default_root_dir": "choose the directory of a run with hydra.run.dir=DIR, of a study with study=NAME",
}


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
    complete_choices(hydra)
    searchpath = [text for text in hydra.overrides.hydra if str(text).startswith("hydra.searchpath=")]
    composer = Composer(GlobalHydra.instance().config_loader(), str(hydra.job.config_name), searchpath)
    return read_choices(config, hydra.runtime.choices, composer)


def read_choices(config: DictConfig, chosen: Mapping[str, Any], composer: Composer) -> Choices:
    """Read and check the choices of `config`, which was composed with the options `chosen` by group.

    Raises UserError for an unused key, a value of another type than in the option's file, or width and depth together
    with hidden.
    """
    return check_choices(to_unresolved(config), lambda: to_resolved(config), chosen, composer)


def check_choices(
    raw: dict[str, Any],
    get_resolved: Callable[[], dict[str, Any]],
    chosen: Mapping[str, Any],
    composer: Composer,
    keys_checked: bool = False,
) -> Choices:
    """Check the choices of a configuration that is given as plain values, unresolved and resolved; see `read_choices`.

    `keys_checked` means that a configuration of the same keys and classes has been checked.
    """
    options = get_chosen_options(chosen)
    _check_packages(raw, options)
    for group in REQUIRED:
        if group not in options:
            raise UserError(
                f"{group} needs one option: {group}=NAME. To try several, add --multirun: {group}=NAME,NAME."
            )
    without_experiment = {group: option for group, option in options.items() if group != "experiment"}
    raw_base, base = composer.compose_options(without_experiment)
    named = raw["model"].get("loss")
    if "loss" in options and named is not None and "loss" not in raw_base["model"]:
        raise UserError(suggest_key("model.loss", ()))
    if "loss" not in options and raw_base["model"].get("loss") in (*NAMED_LOSSES,):
        if named not in (*NAMED_LOSSES,):
            raise unknown_name(named, "model.loss", NAMED_LOSSES)
        options["loss"] = named  # a network's own YAML may name its loss as in version 0.1
        raw_base, base = ({**node, "model": {**node["model"], "loss": named}} for node in (raw_base, base))
    raw, raw_base, base = map(use_current_targets, (raw, raw_base, base))
    known = composer.has_own_files(without_experiment)
    if not keys_checked:
        _check_targets(raw, raw_base, "", known)
        _check_keys(raw, raw_base, "")
    plain = use_current_targets(get_resolved())
    _check_seeds(plain)
    tuned = plain.get("tuned")
    if tuned is not None and not (isinstance(tuned, list) and all(isinstance(key, str) for key in tuned)):
        raise UserError(f"tuned is {tuned!r}; a search sets it to the list of its keys. Leave it out.")
    check_values(plain, base, "", _find_signature, known)
    check_ranges(plain)
    check_schedules(plain)
    least, most = plain["trainer"].get("min_epochs") or 0, plain["trainer"]["max_epochs"]
    if least > most:
        raise UserError(f"trainer.min_epochs is {least}, and trainer.max_epochs {most}. Choose fewer of the former.")
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
    sizes = [resolved.get("model.width"), resolved.get("model.depth")]
    if "hidden" in plain["model"] and sizes != [None, None]:
        if "model.hidden" in given:
            raise UserError("model.hidden excludes model.width and model.depth. Set either hidden, or width and depth.")
        if None in sizes:
            raise UserError(
                "model.width and model.depth must be set together: model.width=64 model.depth=2 for two hidden layers "
                "of 64 units, which is model.hidden=[64,64]."
            )
    return Choices({group: option for group, option in options.items() if group not in PROCESS_KEYS}, given, plain)


def _check_packages(raw: Mapping[str, Any], options: Mapping[str, str]) -> None:
    """Raise UserError where a file with values for several groups lacks the line that puts them there."""
    for group in ("experiment", "model"):
        node = raw.get(group)
        if isinstance(node, Mapping) and (group == "experiment" or isinstance(node.get("model"), Mapping)):
            raise UserError(
                f"{group}={options.get(group, '...')}: its file must begin with the line `# @package _global_`, since "
                "it sets values of several groups."
            )


def _check_seeds(config: Mapping[str, Any]) -> None:
    """Raise UserError where a seed is no number, above all where it should be several, and where two contradict."""
    seeds = config["seeds"]
    if not isinstance(seeds, Mapping):
        raise UserError(
            f"seeds is {seeds!r}; it holds a seed for each source of randomness ({', '.join(SOURCES)}). The run's own "
            "is seed=N."
        )
    for key, seed in {"seed": config["seed"], **{f"seeds.{name}": seed for name, seed in seeds.items()}}.items():
        if isinstance(seed, bool) or not isinstance(seed, int | None if key != "seed" else int):
            listed = ",".join(map(str, seed)) if isinstance(seed, list) else "1,2,3"
            raise UserError(f"{key} is {seed!r}; it must be a whole number. For a run each: --multirun {key}={listed}.")
    split, of_data = seeds.get("split"), config["data"].get("seed")
    if None not in (split, of_data) and of_data not in (split, config["seed"]):
        raise UserError(f"seeds.split is {split} and data.seed {of_data}; both seed the split. Set one of them.")


def _check_targets(node: Mapping[str, Any], base: Mapping[str, Any], path: str, known: bool) -> None:
    """Raise UserError for a `_target_` that names no class; where `base` is `known`, its own are not looked at.

    Those of optional packages are, since these may be missing.
    """
    target = node.get("_target_")
    if "_target_" in node and target is None and base.get("_target_") is not None:
        raise UserError(f"{path}_target_ is null; it must name a class.")
    if not (known and target == base.get("_target_") and str(target).partition(".")[0] not in PACKAGES):
        _find_signature(node, path)
    for key, value in node.items():
        if isinstance(value, Mapping) and (isinstance(base.get(key), Mapping) or key not in base):
            _check_targets(value, base.get(key, {}), f"{path}{key}.", known)


def _check_keys(node: Mapping[str, Any], base: Mapping[str, Any], path: str) -> None:
    """Raise UserError for keys added to `base` that no constructor accepts, and for keys removed from it."""
    if path == "tune.space.":
        return  # its keys are those of the levels, which the search checks
    accepted = None if set(node) <= set(base) else _find_arguments(node, path)
    node_path = path.rstrip(".")
    for key in base:
        if key not in node and node_path not in OPEN_GROUPS:
            raise UserError(f"{path}{key} is missing from the configuration. Set it instead of removing it.")
    for key, value in node.items():
        if key in base:
            if isinstance(value, Mapping) and isinstance(base[key], Mapping):
                _check_keys(value, base[key], f"{path}{key}.")
            continue
        if f"{path}{key}" in FIXED:
            raise UserError(f"{path}{key} cannot be set: {FIXED[f'{path}{key}']}.")
        argument = accepted is not None and ("**" in accepted or key in accepted or str(key).startswith("_"))
        entry = node_path in OPEN_GROUPS and isinstance(value, Mapping) and "_target_" in value
        if not (argument or entry):
            valid = sorted({*map(str, base), *(accepted or ())} - {"_target_", "hydra"})
            hint = suggest_key(f"{path}{key}", flatten(base) if not node_path else ())
            if hint:
                raise UserError(f"There is no {str(key)!r} in {node_path or 'the configuration'}. {hint}")
            raise unknown_name(key, node_path or "the configuration", valid)


def _find_signature(node: Mapping[str, Any], path: str) -> inspect.Signature | None:
    """Return the signature of a node's _target_, or None without a _target_."""
    if "_target_" not in node or (node["_target_"] is None and path in ("scheduler.", "optim.")):  # none; own
        return None
    with importing_torch():
        found = find_callable(node["_target_"], path.rstrip("."))
    return _inspect_signature(found)


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
