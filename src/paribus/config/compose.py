"""Compose configurations from files that are read once."""

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import InterpolationResolutionError, MissingMandatoryValue

from paribus.config.ranges import MOST_LAYERS
from paribus.installation import find_config_directory
from paribus.private_names import apply_overrides
from paribus.record import PROCESS_KEYS

OPEN_GROUPS = ("callbacks", "logger", "metrics")  # groups of which none, one or several options may be chosen


def complete_choices(hydra: Any) -> None:
    """Add to the choices of a composed node `hydra` what Hydra leaves out: lists of options, and groups removed."""
    for group in OPEN_GROUPS:
        if group not in hydra.runtime.choices:
            lists = [text for text in hydra.overrides.task if text.startswith(f"{group}=[")]
            option = lists[-1].partition("=")[2].replace(" ", "") if lists else "[]"
            with read_write(hydra), open_dict(hydra):
                hydra.runtime.choices[group] = "none" if option == "[]" else option


def get_chosen_options(chosen: Mapping[str, Any]) -> dict[str, str]:
    """Select the chosen option of each group, without Hydra's own groups."""
    return {str(group): str(option) for group, option in chosen.items()
            if not group.startswith("hydra/") and option is not None}  # fmt: skip


def to_unresolved(config: DictConfig) -> dict[str, Any]:
    """Convert a configuration to plain values with unresolved interpolations, without the node `hydra`."""
    return _to_plain(config, resolve=False, without=("hydra",))


def to_resolved(config: DictConfig) -> dict[str, Any]:
    """Convert a run's configuration to plain, resolved values; derive hidden from a model's width and depth."""
    plain = _to_plain(config, resolve=True, without=("hydra", *PROCESS_KEYS))
    model = plain["model"]
    sizes = (model.get("width"), model.get("depth"))
    if "hidden" in model and all(isinstance(size, int) for size in sizes):
        model["hidden"] = [model["width"]] * min(model["depth"], MOST_LAYERS + 1)  # more is refused by check_ranges
    return plain


def _to_plain(config: DictConfig, resolve: bool, without: Sequence[str]) -> dict[str, Any]:
    """Convert a configuration to plain values, without some of its keys."""
    unresolved = dict(config.items_ex(resolve=False))
    plain = {str(key): config[key] if resolve else value for key, value in unresolved.items() if key not in without}
    removed: dict[str, Any] = {group: {} for group in OPEN_GROUPS if group not in plain}
    return removed | {
        key: OmegaConf.to_container(value, resolve=resolve, throw_on_missing=resolve)
        if OmegaConf.is_config(value)
        else value
        for key, value in plain.items()
    }


class Composer:
    """A cache of Hydra's compositions: one for each combination of options, to which overrides of values are applied.

    Hydra takes 0.1 s for a composition; to apply values takes 10 ms. Files are read once, so that all runs of a study
    have the configuration with which the study started, even if a file changes meanwhile.

    Args:
        loader: Hydra's configuration loader.
        config_name: the name of the primary configuration.
        hydra_overrides: overrides of the node `hydra` (hydra.sweep.dir=DIR) for all compositions.
    """

    def __init__(self, loader: ConfigLoader, config_name: str, hydra_overrides: Sequence[str] = ()):
        self.config_name = config_name
        self.hydra_overrides = tuple(hydra_overrides)
        self._loader = loader
        self._parser = OverridesParser.create(config_loader=loader)
        self._parsed: dict[str, Override] = {}
        self._is_group: dict[str, bool] = {}  # True for keys that are names of groups
        self._is_own: dict[str, bool] = {}  # True for names of files in Paribus' conf/
        self._composed: dict[tuple[str, ...], bytes] = {}  # pickled: five times as fast to copy as by deepcopy
        self._option_configs: dict[frozenset[tuple[str, Any]], tuple[dict[str, Any], dict[str, Any]]] = {}

    def parse(self, override: str) -> Override:
        """Parse an override by Hydra's grammar. Raises OverrideParseException."""
        if override not in self._parsed:
            self._parsed[override] = self._parser.parse_overrides([override])[0]
        return self._parsed[override]

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """Compose the configuration for overrides without sweeps, with the node `hydra`."""
        options: list[Override] = []
        values: list[Override] = []
        for override in map(self.parse, overrides):
            (options if self._is_option(override) else values).append(override)
        config = self._compose_cached((*self.hydra_overrides, *(str(o.input_line) for o in options)))
        apply_overrides(values, config)
        config.hydra.overrides.task = list(overrides)
        return config

    def compose_options(self, options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Compose the configuration of options by group without other values; return it unresolved and resolved.

        A value that cannot be resolved, such as a default that the model's table lacks, becomes None.
        """
        key = frozenset(options.items())
        if key not in self._option_configs:
            self._compose_cached((*self.hydra_overrides, *(f"{group}={option}" for group, option in options.items())))
        return self._option_configs[key]

    def has_own_files(self, options: Mapping[str, str]) -> bool:
        """Return whether the primary configuration and the options by group are files of Paribus itself."""
        names = [f"{group}/{name}" for group, option in options.items() for name in option.strip("[]").split(",")]
        return all(map(self._is_own_file, [self.config_name, *names]))

    def _is_own_file(self, name: str) -> bool:
        if name not in self._is_own:
            first = next((source for source in self._loader.get_sources() if source.is_config(name)), None)
            self._is_own[name] = first is not None and Path(first.path) == find_config_directory()
        return self._is_own[name]

    def is_group(self, key: str) -> bool:
        """Return whether a key is the name of a group of options."""
        if key not in self._is_group:
            self._is_group[key] = bool(self._loader.get_group_options(key))
        return self._is_group[key]

    def _is_option(self, override: Override) -> bool:
        """Return True for an override that chooses an option of a group, False for one that sets a value."""
        return self.is_group(override.key_or_group) and not isinstance(override.value(), dict)

    def _compose_cached(self, overrides: tuple[str, ...]) -> DictConfig:
        """Return a new copy of Hydra's composition."""
        if overrides not in self._composed:
            config = self._loader.load_configuration(
                config_name=self.config_name, overrides=list(overrides), run_mode=RunMode.RUN
            )
            complete_choices(config.hydra)
            self._composed[overrides] = pickle.dumps(config, pickle.HIGHEST_PROTOCOL)
            options = get_chosen_options(config.hydra.runtime.choices)
            if "experiment" not in options:  # an experiment may set values
                examples = {str(k): _to_example(config, str(k)) for k in config if k not in ("hydra", *PROCESS_KEYS)}
                self._option_configs[frozenset(options.items())] = to_unresolved(config), examples
        composed: DictConfig = pickle.loads(self._composed[overrides])
        return composed


def _to_example(node: DictConfig, key: str) -> Any:
    """Resolve a value of a node, or the values below it; return None for those that cannot be resolved."""
    try:
        value = node[key]
    except (InterpolationResolutionError, MissingMandatoryValue):
        return None
    if isinstance(value, DictConfig):
        return {str(k): _to_example(value, str(k)) for k in value}
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_list(value) else value
