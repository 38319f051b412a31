"""Expand a sweep into the overrides of each run."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from paribus.config.compose import PROCESS_KEYS, Composer
from paribus.errors import UserError


def make_composer(loader: ConfigLoader, study: DictConfig) -> Composer:
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
    """The overrides of each run: every combination of what `arguments` list, for each of the grids.

    A grid gives the values of each override by its key: a text with commas, a list of values, or a single value. What
    is typed wins over what a grid says of the same key. Raises UserError for a grid that is none.
    """
    composer = make_composer(loader, study)
    typed = {override.key_or_group: _values(override) for override in map(composer.parse, arguments)}
    for key in ("study", *PROCESS_KEYS):
        if len(typed.get(key, [])) > 1:
            raise UserError(f"{key} is for the whole sweep: give it one value.")
    experiments = typed.get("experiment", [])
    if len(experiments) < 2:
        return _combinations(typed, params, grids, composer)
    expanded = []
    for experiment in experiments:  # each with the grids of its own, which `study` knows nothing of
        sweeper = composer.compose([experiment]).hydra.sweeper
        expanded += _combinations({**typed, "experiment": [experiment]}, sweeper.params, sweeper.grids, composer)
    return expanded


def _combinations(typed: Mapping[str, list[str]], params: Any, grids: Any, composer: Composer) -> list[list[str]]:
    expanded: list[list[str]] = []
    for grid in _plain(grids) or [{}]:
        if not isinstance(grid, Mapping):
            raise UserError(f"hydra.sweeper.grids has {grid!r}; a grid gives values by key: {{optim: 'sgd,adam'}}.")
        values: dict[str, list[str]] = {}
        for key, value in {**(_plain(params) or {}), **grid}.items():
            listed = ",".join(map(_text, value)) if isinstance(value, list) else _text(value)
            override = composer.parse(f"{key}={listed}")
            values[override.key_or_group] = _values(override)
        expanded += [list(combination) for combination in itertools.product(*{**values, **typed}.values())]
    return expanded


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def _text(value: Any) -> str:
    """A value of a grid as it would be typed."""
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _values(override: Override) -> list[str]:
    """The overrides of single values that a typed one stands for."""
    if not override.is_sweep_override():
        return [str(override.input_line)]
    if not override.is_discrete_sweep():
        raise UserError(f"{override.input_line}: an interval has no end of values. List them: KEY=V,V or range(A,B).")
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
