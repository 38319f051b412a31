"""Expand a sweep into the overrides of each run."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from paribus.config.compose import OPEN_GROUPS, Composer
from paribus.errors import UserError
from paribus.record import PROCESS_KEYS


def make_composer(loader: ConfigLoader, study: DictConfig) -> Composer:
    """Make a composer with the Hydra overrides of the study."""
    hydra = OmegaConf.to_container(study.hydra.overrides.hydra)
    assert isinstance(hydra, list)
    return Composer(loader, str(study.hydra.job.config_name), hydra)


def expand_sweep(
    arguments: Sequence[str],
    loader: ConfigLoader,
    study: DictConfig,
    params: Mapping[str, Any] | None,
    grids: Sequence[Mapping[str, Any]] | None,
) -> list[list[str]]:
    """Expand a sweep into the overrides of each run: all combinations of the values in `arguments`, for each grid.

    A grid maps keys to values: a text with commas, a list, or a single value. Typed arguments override a grid's values
    of the same key. Raises UserError for an invalid grid.
    """
    composer = make_composer(loader, study)
    typed = {override.key_or_group: _split_override(override, composer) for override in map(composer.parse, arguments)}
    for key, values in typed.items():
        if len(values) > 1 and (key in ("study", *PROCESS_KEYS) or key.startswith(("tune.", "until."))):
            raise UserError(f"{key} is for the whole sweep: give it one value.")
    experiments = typed.get("experiment", [])
    if len(experiments) < 2:
        return _combine(typed, params, grids, composer)
    expanded = []
    for experiment in experiments:  # each has its own grids, which `study` does not contain
        sweeper = composer.compose([experiment]).hydra.sweeper
        expanded += _combine({**typed, "experiment": [experiment]}, sweeper.params, sweeper.grids, composer)
    return expanded


def _combine(typed: Mapping[str, list[str]], params: Any, grids: Any, composer: Composer) -> list[list[str]]:
    expanded: list[list[str]] = []
    params, grids = _to_plain(params), _to_plain(grids)
    if params is not None and not isinstance(params, Mapping):
        raise UserError(f"hydra.sweeper.params is {params!r}; it gives values by key: {{optim: 'sgd,adam'}}.")
    if grids is not None and not isinstance(grids, list):
        raise UserError(f"hydra.sweeper.grids is {grids!r}; it must be a list of grids: [{{optim: 'sgd,adam'}}].")
    for grid in grids or [{}]:
        if not isinstance(grid, Mapping):
            raise UserError(f"hydra.sweeper.grids has {grid!r}; a grid gives values by key: {{optim: 'sgd,adam'}}.")
        values: dict[str, list[str]] = {}
        for key, value in {**(params or {}), **grid}.items():
            listed = ",".join(map(format_value, value)) if isinstance(value, list) else format_value(value)
            override = composer.parse(f"{key}={listed}")
            values[override.key_or_group] = _split_override(override, composer)
        expanded += [list(combination) for combination in itertools.product(*{**values, **typed}.values())]
    return expanded


def _to_plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def format_value(value: Any) -> str:
    """Format a value of a grid as an override would contain it."""
    if isinstance(value, list):
        return f"[{','.join(map(format_value, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _split_override(override: Override, composer: Composer) -> list[str]:
    """Split an override into one for each of its values. Raises UserError for a list of options, which is one value."""
    key, value = override.key_or_group, override.value()
    if composer.is_group(key) and key not in OPEN_GROUPS and isinstance(value, list):
        listed = ",".join(map(str, value))
        raise UserError(f"{key} needs one option, and [...] is a list of them. For a run with each: {key}={listed}.")
    if not override.is_sweep_override():
        return [str(override.input_line)]
    if not override.is_discrete_sweep():
        raise UserError(f"{override.input_line}: an interval is not a list of values. Use KEY=V,V or range(A,B).")
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
