"""Compose configurations from files that are read once."""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
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
    return derive_hidden(resolve(config))


def resolve(config: DictConfig) -> dict[str, Any]:
    """Convert a run's configuration to plain, resolved values as they are written."""
    return _to_plain(config, resolve=True, without=("hydra", *PROCESS_KEYS))


def derive_hidden(plain: dict[str, Any]) -> dict[str, Any]:
    """Return a plain configuration in which a model's width and depth give its hidden layers."""
    model = plain["model"]
    sizes = (model.get("width"), model.get("depth"))
    if "hidden" not in model or not all(isinstance(size, int) for size in sizes):
        return plain
    hidden = [model["width"]] * min(model["depth"], MOST_LAYERS + 1)  # more is refused by check_ranges
    return {**plain, "model": {**model, "hidden": hidden}}


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


@dataclass(frozen=True)
class Leaf:
    """An option of a group whose file has values for the group's own node, and no defaults list."""

    group: str
    option: str
    content: DictConfig


def read_leaf(loader: ConfigLoader, group: str, option: Any) -> Leaf | None:
    """Read the file of an option; return None where it is no leaf."""
    if not isinstance(option, str) or "/" in group:
        return None
    sources = [source for source in loader.get_sources() if source.is_config(f"{group}/{option}")]
    if len(sources) != 1:  # with two, one would be a schema for the other
        return None
    read = sources[0].load_config(f"{group}/{option}")
    if not isinstance(read.config, DictConfig) or not read.config or "defaults" in read.config:
        return None
    return Leaf(group, option, read.config) if read.header["package"] is None else None


class Composer:
    """A cache of Hydra's compositions: one for each combination of options, to which overrides of values are applied.

    Hydra takes 0.1 s for a composition; to apply values takes 10 ms. Files are read once, so that all runs of a study
    have the configuration with which the study started, even if a file changes meanwhile. Where combinations differ in
    plain options only (optim=adam), Hydra composes the first of them, and the others take their nodes from the files.

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
        self._leaves: dict[str, Leaf | None] = {}
        self._first: dict[tuple[str, ...], tuple[str, ...]] = {}  # what Hydra composed, by all but its plain options
        self._is_separate: dict[tuple[tuple[str, ...], str], bool] = {}

    def parse(self, override: str) -> Override:
        """Parse an override by Hydra's grammar. Raises OverrideParseException."""
        if override not in self._parsed:
            self._parsed[override] = self._parser.parse_overrides([override])[0]
        return self._parsed[override]

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """Compose the configuration for overrides without sweeps, with the node `hydra`."""
        options, values = self.split(overrides)
        config = self._compose_cached((*self.hydra_overrides, *(str(o.input_line) for o in options)))
        apply_overrides(values, config)
        config.hydra.overrides.task = list(overrides)
        return config

    def split(self, overrides: Sequence[str]) -> tuple[list[Override], list[Override]]:
        """Split overrides into those that choose an option of a group, and those that set values."""
        options: list[Override] = []
        values: list[Override] = []
        for override in map(self.parse, overrides):
            (options if self._is_option(override) else values).append(override)
        return options, values

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
            config = self._compose_options(overrides)
            self._composed[overrides] = pickle.dumps(config, pickle.HIGHEST_PROTOCOL)
            options = get_chosen_options(config.hydra.runtime.choices)
            if "experiment" not in options:  # an experiment may set values
                examples = {str(k): _to_example(config, str(k)) for k in config if k not in ("hydra", *PROCESS_KEYS)}
                self._option_configs[frozenset(options.items())] = to_unresolved(config), examples
        composed: DictConfig = pickle.loads(self._composed[overrides])
        return composed

    def _load(self, overrides: Sequence[str]) -> DictConfig:
        """Have Hydra compose a configuration."""
        config = self._loader.load_configuration(
            config_name=self.config_name, overrides=list(overrides), run_mode=RunMode.RUN
        )
        complete_choices(config.hydra)
        return config

    def _compose_options(self, overrides: tuple[str, ...]) -> DictConfig:
        """Compose a combination of options, from one that differs in plain options only where there is one."""
        if not self._composed:  # a single run has this combination alone: no other one differs from it
            return self._load(overrides)
        if not self._first:
            only = next(iter(self._composed))
            self._first[self._cut_leaves(only)] = only
        leaves = [self._find_leaf(text) for text in overrides]
        rest = self._cut_leaves(overrides)
        first = self._first.get(rest, overrides)
        differing = [i for i, leaf in enumerate(leaves) if leaf and first[i] != overrides[i]]
        if not differing or not all(self._check_separate(first, i, rest[i]) for i in differing):
            config = self._load(overrides)
            self._first.setdefault(rest, overrides)
            return config
        config = pickle.loads(self._composed[first])
        with open_dict(config):
            for leaf in (leaves[i] for i in differing):
                assert leaf is not None
                config[leaf.group] = leaf.content
                config.hydra.runtime.choices[leaf.group] = leaf.option
        return config

    def _cut_leaves(self, overrides: tuple[str, ...]) -> tuple[str, ...]:
        """Replace each override that chooses a plain option by the name of its group."""
        leaves = map(self._find_leaf, overrides)
        return tuple(leaf.group if leaf else text for leaf, text in zip(leaves, overrides, strict=True))

    def _find_leaf(self, override: str) -> Leaf | None:
        """Return the plain option that an override chooses; None for any other override."""
        if override not in self._leaves:
            parsed = self.parse(override)
            plain = parsed.type is OverrideType.CHANGE and parsed.package is None and self._is_option(parsed)
            self._leaves[override] = read_leaf(self._loader, parsed.key_or_group, parsed.value()) if plain else None
        return self._leaves[override]

    def _check_separate(self, overrides: tuple[str, ...], i: int, group: str) -> bool:
        """Return whether the `i`-th override alone gives the node of its group, and affects nothing else.

        Hydra composes it once more without the group: then its node has to be gone, and all else as it was. So nothing
        else sets a value of the node (an experiment may), and no defaults list depends on the option.
        """
        if (overrides, group) not in self._is_separate:
            with_it: DictConfig = pickle.loads(self._composed[overrides])
            try:
                without = self._load([*overrides[:i], f"~{group}", *overrides[i + 1 :]])
            except HydraException:  # a defaults list needs the group
                self._is_separate[overrides, group] = False
                return False
            plain, plain_without = (OmegaConf.to_container(config) for config in (with_it, without))
            assert isinstance(plain, dict) and isinstance(plain_without, dict)
            separate = plain.pop(group, None) is not None and group not in plain_without
            for each in (plain, plain_without):
                each["hydra"]["runtime"]["choices"].pop(group, None)
                each["hydra"]["overrides"] = each["hydra"]["job"]["override_dirname"] = None
            self._is_separate[overrides, group] = separate and plain == plain_without
        return self._is_separate[overrides, group]


def _to_example(node: DictConfig, key: str) -> Any:
    """Resolve a value of a node, or the values below it; return None for those that cannot be resolved."""
    try:
        value = node[key]
    except (InterpolationResolutionError, MissingMandatoryValue):
        return None
    if isinstance(value, DictConfig):
        return {str(k): _to_example(value, str(k)) for k in value}
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_list(value) else value
