"""Tell whether two configurations are the same experiment."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# What a run is carried out with, as opposed to what is tried in it: not part of its identity. Nor are our own
# callbacks, which change nothing; a user's may (early stopping, say).
OWN_CALLBACKS = ("paribus.callbacks.", "paribus.instruments.", "paribus.training.")
EXECUTION_KEYS = (
    "data.root",
    "data.verify",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.deterministic",
    "threads",
    "study",
    "confirm",
    "logger",
    "figures",
    # tables that other values are drawn from; what is drawn is part of the identity
    "default_lr",
    "default_epochs",
)


# Where classes of ours were when records first named them, by where they are: a record and an identity keep the first
# name, so that a class can move. The first prefix that fits counts.
STABLE_PREFIXES = {
    "paribus.training.schedulers.": "paribus.schedulers.",
    "paribus.training.progress.": "paribus.callbacks.progress.",
    "paribus.loggers.tensorboard.": "paribus.loggers.",
    "paribus.instruments.": "paribus.callbacks.",
}


def use_stable_targets(config: Any) -> Any:
    """Return a plain configuration in which every `_target_` is the name by which records know the class."""
    return _replace_targets(config, [*STABLE_PREFIXES.items()])


def use_current_targets(config: Any) -> Any:
    """Return a plain configuration in which every `_target_` says where the class is now."""
    return _replace_targets(config, [(first, now) for now, first in STABLE_PREFIXES.items()])


def _replace_targets(value: Any, prefixes: Sequence[tuple[str, str]], key: Any = None) -> Any:
    if isinstance(value, Mapping):
        return {k: _replace_targets(v, prefixes, k) for k, v in value.items()}
    if isinstance(value, list):
        return [_replace_targets(v, prefixes) for v in value]
    if key == "_target_" and isinstance(value, str):
        for old, new in prefixes:
            if value.startswith(old) and not value.startswith(new):
                return new + value.removeprefix(old)
    return value


def select_experimental(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a resolved configuration that makes the experiment: all but EXECUTION_KEYS and OWN_CALLBACKS."""

    def keep(node: Mapping[str, Any], path: str) -> dict[str, Any]:
        kept = {}
        for key, value in node.items():
            full = f"{path}{key}"
            own = path == "callbacks." and isinstance(value, Mapping)
            own = own and str(value.get("_target_")).startswith(OWN_CALLBACKS)
            if full not in EXECUTION_KEYS and not own:
                kept[str(key)] = keep(value, f"{full}.") if isinstance(value, Mapping) else value
        return kept

    return keep(config, "")


def identify(config: Mapping[str, Any]) -> str:
    """16 hexadecimal digits, equal for two configurations exactly if they are the same experiment.

    `config` is resolved and plain. The order of keys and the spelling of a number (1e-3, 0.001; 1, 1.0) do not matter.
    """

    def canonical(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(k): canonical(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [canonical(v) for v in value]
        if isinstance(value, float) and value.is_integer():
            return int(value)
        return value

    kept = use_stable_targets(select_experimental(config))
    for derived in ("width", "depth"):  # written out in hidden
        kept.get("model", {}).pop(derived, None)
    text = json.dumps(canonical(kept), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_paths_absolute(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration that means the same in every working directory."""
    data = dict(config["data"])
    for key in ("root", "path"):
        if data.get(key) is not None:
            data[key] = str(Path(data[key]).absolute())
    return {**config, "data": data}


def flatten(config: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Nested mappings as one: {'optim': {'lr': 1}} becomes {'optim.lr': 1}."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{path}{key}.")
        else:
            flat[f"{path}{key}"] = value
    return flat
