"""A sweep from its first word to its last: what it asks for, which runs that is, making them, and what came of it."""

import itertools
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override
from hydra.core.utils import configure_log
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from paribus.callbacks.progress import duration
from paribus.compose import ORDERS, Composer
from paribus.display import Board, announce, table, warn_of_data
from paribus.errors import UserError
from paribus.job import plain_list
from paribus.study import Ended, Engine, Planned, conduct, plan


def sweep(
    overrides: Sequence[Sequence[str]],
    loader: ConfigLoader,
    study: DictConfig,
    engine: Callable[[Path], Engine] | None,
    live: bool,
) -> list[Planned]:
    """Make the runs that are not finished, each of one list of overrides, and return them all as they are then.

    `study` is the configuration that the sweep was started with, Hydra's own included. Without an engine nothing is
    made: what would be is said. Raises UserError before anything is made where a run cannot be.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)  # a file, say, where a table need not be narrow
    directory = Path(study.hydra.sweep.dir).absolute()
    name = str(study.study)
    if not name.strip() or Path(name).is_absolute() or ".." in Path(name).parts:
        raise UserError(f"study is {name!r}; it must be a name, of a directory in outputs/.")
    if study.dry_run not in (True, False):
        raise UserError(f"dry_run is {study.dry_run!r}; it must be true or false.")
    if study.hydra.job.chdir or study.hydra.callbacks:
        raise UserError("hydra.job.chdir and hydra.callbacks have no effect on the runs of a study. Leave them out.")
    composer = _composer(loader, study)
    making = None if engine is None else engine(directory)  # before all else: what it needs may not be there
    with console.status(f"Reading the configurations of {len(overrides)} runs"):
        planned = plan(overrides, composer, study)
    shown = directory.relative_to(Path.cwd()) if directory.is_relative_to(Path.cwd()) else directory
    announce(console, planned, shown)
    if making is None:
        console.print(table(planned, shown, console.width, to_do=True))
        from paribus.timing import estimate

        with console.status("Estimating the time"):
            seconds = estimate(planned, directory)
        about = "unknown, as their data cannot be read yet" if seconds is None else f"about {duration(seconds)}"
        console.print(f"Nothing was run (dry_run=true). Time for what is to be made, one run after the other: {about}.")
        return planned
    if all(run.finished for run in planned):
        warn_of_data(console, planned)
        console.print(table(planned, shown, console.width))
        return planned
    directory.mkdir(parents=True, exist_ok=True)
    board = Board(console, planned, directory, live)
    finished = sum(run.finished for run in planned)
    typed = [*plain_list(study.hydra.overrides.task), *plain_list(study.hydra.overrides.hydra)]
    board.note(f"{len(planned)} runs, {finished} of them finished: {shlex.join(typed)}")

    def told(run: Planned, ended: Ended) -> None:
        configure_log(study.hydra.hydra_logging, study.hydra.verbose)  # the run had its own
        board.told(run, ended)

    try:
        with board.shown():
            conduct(planned, making, told)
    except KeyboardInterrupt:
        configure_log(study.hydra.hydra_logging, study.hydra.verbose)
        board.note("interrupted")
        for run in planned:
            if not run.finished:
                board.runs[run.job.directory] = run.after(Ended())
        raise
    finally:
        warn_of_data(console, list(board.runs.values()))
        console.print(table(list(board.runs.values()), shown, console.width))
    return list(board.runs.values())


def _composer(loader: ConfigLoader, study: DictConfig) -> Composer:
    hydra = OmegaConf.to_container(study.hydra.overrides.hydra)
    assert isinstance(hydra, list)
    return Composer(loader, str(study.hydra.job.config_name), hydra)


def expand(
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
    composer = _composer(loader, study)
    typed = {override.key_or_group: _values(override) for override in map(composer.parse, arguments)}
    for key in ("study", *ORDERS):
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
