"""Identify experiments by their configurations."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from paribus.record.seeds import use_canonical_seeds

# How a run is executed, not what it tests: excluded from the identity. So are Paribus's own callbacks, which change no
# result; a user's may (early stopping, say).
OWN_CALLBACKS = ("paribus.callbacks.", "paribus.instruments.", "paribus.training.")
PROCESS_KEYS = ("resume", "rerun", "dry_run", "trust", "pause", "tune", "until")  # options of a process, not of the run
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
    "tuned",
    "sequential",
    "logger",
    "figures",
    "metric",  # selects an epoch of what was trained
    # tables of defaults; the values taken from them are part of the identity
    "default_lr",
    "default_epochs",
    "default_metric",
)

# Prefix of class paths in records and identities, by their prefix in this version: so a class can move. The first
# matching prefix counts.
STABLE_PREFIXES = {
    "paribus.training.schedulers.": "paribus.schedulers.",
    "paribus.training.progress.": "paribus.callbacks.progress.",
    "paribus.loggers.tensorboard.": "paribus.loggers.",
    "paribus.instruments.": "paribus.callbacks.",
}


# The losses that version 0.1 knew, by their name in model.loss. A loss of other values has no such name.
NAMED_LOSSES: dict[str, dict[str, Any]] = {
    "cross_entropy": {"_target_": "torch.nn.CrossEntropyLoss", "label_smoothing": 0.0, "weight": None},
    "mse": {"_target_": "torch.nn.MSELoss"},
    "mae": {"_target_": "torch.nn.L1Loss"},
}

# Options that came after version 0.1, by the value that means what was done before: at that value they are left out of
# records' identities. Those of data belong to the image sets that can be augmented, those of models to MLPs.
LATER_DATA_OPTIONS = {"shift": None, "flip": "random", "fill": "zeros", "average_flips": False}
LATER_TABLE_OPTIONS = {"drop": None, "missing": "refuse", "target_unit": 1.0}
TABLE = "paribus.data.table.Table"
LATER_MODEL_OPTIONS = {"skip": False}
MLPS = ("paribus.models.mlp.MLP", "paribus.models.regression.RegressionNet")


def use_stable_targets(config: Any) -> Any:
    """Return a plain configuration with every `_target_` as records name the class, and a named loss as model.loss.

    Options that version 0.1 did not know are left out where they are at their defaults.
    """
    stable = _replace_targets(config, [*STABLE_PREFIXES.items()])
    loss = stable.get("loss")
    named = [name for name, node in NAMED_LOSSES.items() if isinstance(loss, Mapping) and {**node, **loss} == node]
    if named:
        del stable["loss"]
        stable["model"]["loss"] = named[0]
    if not stable.get("metrics"):
        stable.pop("metrics", None)
    for node, later in _find_later_options(stable):
        for key, value in later.items():
            if node.get(key, value) == value:
                node.pop(key, None)
    return stable


def use_current_targets(config: Any) -> Any:
    """Return a plain configuration with every `_target_` as this version names the class, and its loss as a node.

    Options that the version of a record did not know have their defaults.
    A network's YAML may still name its loss by model.loss; another one that was chosen takes its place.
    """
    current = _replace_targets(config, [(first, now) for now, first in STABLE_PREFIXES.items()])
    model = current.get("model")
    if isinstance(model, dict) and isinstance(name := model.get("loss"), str) and name in NAMED_LOSSES:
        del model["loss"]
        current.setdefault("loss", dict(NAMED_LOSSES[name]))
    current.setdefault("metrics", {})
    for node, later in _find_later_options(current):
        for key, value in later.items():
            node.setdefault(key, value)
    return current


def _find_later_options(config: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Mapping[str, Any]]]:
    """Yield each node of a configuration that has options which version 0.1 did not know, with their defaults."""
    data, model = config.get("data"), config.get("model")
    if isinstance(data, dict) and "augment" in data and str(data.get("_target_")).startswith("paribus.data."):
        yield data, LATER_DATA_OPTIONS
    if isinstance(data, dict) and data.get("_target_") == TABLE:
        yield data, LATER_TABLE_OPTIONS
    if isinstance(model, dict) and model.get("_target_") in MLPS:
        yield model, LATER_MODEL_OPTIONS


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
    """Return what defines the experiment: a resolved configuration without the keys and callbacks named above."""

    def keep(node: Mapping[str, Any], path: str) -> dict[str, Any]:
        kept = {}
        for key, value in node.items():
            full = f"{path}{key}"
            own = path == "callbacks." and isinstance(value, Mapping)
            own = own and str(value.get("_target_")).startswith(OWN_CALLBACKS)
            if full not in (*PROCESS_KEYS, *EXECUTION_KEYS) and not own:
                kept[str(key)] = keep(value, f"{full}.") if isinstance(value, Mapping) else value
        return kept

    return keep(config, "")


def identify(config: Mapping[str, Any]) -> str:
    """Return the identity of a resolved, plain configuration: 16 hexadecimal digits.

    Identities are equal if and only if the experiments are the same. The order of keys and the spelling of numbers
    (1e-3, 0.001; 1, 1.0) do not matter.
    """

    def canonical(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(k): canonical(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [canonical(v) for v in value]
        if isinstance(value, float) and value.is_integer():
            return int(value)
        return value

    kept = use_canonical_seeds(use_stable_targets(select_experimental(config)))
    for derived in ("width", "depth") if "hidden" in kept.get("model", {}) else ():  # `hidden` contains them
        kept["model"].pop(derived, None)
    text = json.dumps(canonical(kept), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_paths_absolute(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration whose data paths are absolute, so that it holds in every working directory."""
    data = dict(config["data"])
    for key in ("root", "path"):
        if data.get(key) is not None:
            data[key] = str(Path(data[key]).absolute())
    return {**config, "data": data}


def flatten(config: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Flatten nested mappings: {'optim': {'lr': 1}} becomes {'optim.lr': 1}."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{path}{key}.")
        else:
            flat[f"{path}{key}"] = value
    return flat
